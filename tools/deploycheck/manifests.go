package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests are the files, and the one that shows what Secrets there must be.
const (
	manifest       = "deploy/kubernetes.yaml"
	secretsExample = "deploy/kubernetes-secrets.yaml"
)

// cluster is what the manifests describe, by kind and name.
type cluster struct {
	namespaces  []string
	accounts    []string
	configs     map[string]core.ConfigMap
	secrets     map[string]core.Secret
	pods        []pods
	services    []core.Service
	budgets     []policy.PodDisruptionBudget
	networks    []networking.NetworkPolicy
	namespaceOf map[string]string // of each object, by kind and name
}

// pods are those that a Deployment or a Job makes.
type pods struct {
	where    string
	replicas int32
	template core.PodTemplateSpec
}

func (r *report) checkManifests() {
	c := &cluster{configs: map[string]core.ConfigMap{}, secrets: map[string]core.Secret{}, namespaceOf: map[string]string{}}
	for _, file := range []string{manifest, secretsExample} {
		text, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			r.fault(file, "%v", err)
			continue
		}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			r.decode(c, file, document)
		}
	}
	for object, namespace := range c.namespaceOf {
		if !slices.Contains(c.namespaces, namespace) {
			r.fault(object, "is in the namespace %q, which nobody makes", namespace)
		}
	}
	for _, secret := range c.secrets {
		r.checkPlaceholders(secret)
	}
	for _, p := range c.pods {
		r.checkPods(c, p)
	}
	r.checkServing(c)
}

// kinds are the objects that are known, by version and kind.
var kinds = map[string]func() meta.Object{
	"v1 Namespace":                       func() meta.Object { return new(core.Namespace) },
	"v1 ServiceAccount":                  func() meta.Object { return new(core.ServiceAccount) },
	"v1 ConfigMap":                       func() meta.Object { return new(core.ConfigMap) },
	"v1 Secret":                          func() meta.Object { return new(core.Secret) },
	"v1 Service":                         func() meta.Object { return new(core.Service) },
	"apps/v1 Deployment":                 func() meta.Object { return new(apps.Deployment) },
	"batch/v1 Job":                       func() meta.Object { return new(batch.Job) },
	"policy/v1 PodDisruptionBudget":      func() meta.Object { return new(policy.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy": func() meta.Object { return new(networking.NetworkPolicy) },
}

// decode reads one object into its own type. A field that the type does not have is a fault, and so is one that is given twice.
func (r *report) decode(c *cluster, file string, document []byte) {
	var head meta.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		r.fault(file, "%v", err)
		return
	}
	made, known := kinds[head.APIVersion+" "+head.Kind]
	if !known {
		r.fault(file, "nothing is known of %s %s", head.APIVersion, head.Kind)
		return
	}
	where, object := file+" "+head.Kind, made()
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		r.fault(where, "%v", err)
		return
	}
	c.add(where, object)
	if d, is := object.(*apps.Deployment); is {
		r.checkSelector(where, d.Spec.Selector, d.Spec.Template.Labels)
	}
}

func (c *cluster) add(where string, object meta.Object) {
	if _, is := object.(*core.Namespace); !is {
		c.namespaceOf[where+" "+object.GetName()] = object.GetNamespace()
	}
	switch o := object.(type) {
	case *core.Namespace:
		c.namespaces = append(c.namespaces, o.Name)
	case *core.ServiceAccount:
		c.accounts = append(c.accounts, o.Name)
	case *core.ConfigMap:
		c.configs[o.Name] = *o
	case *core.Secret:
		c.secrets[o.Name] = *o
	case *core.Service:
		c.services = append(c.services, *o)
	case *apps.Deployment:
		replicas := int32(1)
		if o.Spec.Replicas != nil {
			replicas = *o.Spec.Replicas
		}
		c.pods = append(c.pods, pods{where, replicas, o.Spec.Template})
	case *batch.Job:
		c.pods = append(c.pods, pods{where, 1, o.Spec.Template})
	case *policy.PodDisruptionBudget:
		c.budgets = append(c.budgets, *o)
	case *networking.NetworkPolicy:
		c.networks = append(c.networks, *o)
	}
}

var placeholder = regexp.MustCompile(`<[a-z ]+>`)

// checkPlaceholders wants no secret in a Secret.
func (r *report) checkPlaceholders(s core.Secret) {
	for key, value := range s.StringData {
		if !placeholder.MatchString(value) || strings.Contains(value, "BEGIN") {
			r.fault(secretsExample+" "+s.Name, "%s is no placeholder", key)
		}
	}
	if len(s.Data) > 0 {
		r.fault(secretsExample+" "+s.Name, "has data, which hides what it is; use stringData with placeholders")
	}
}
