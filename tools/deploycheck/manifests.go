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

// decode reads one object into its own type. A field that the type does not have is a fault, and so is one that is given twice.
func (r *report) decode(c *cluster, file string, document []byte) {
	var head meta.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		r.fault(file, "%v", err)
		return
	}
	where := file + " " + head.Kind
	read := func(object meta.Object) bool {
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			r.fault(where, "%v", err)
			return false
		}
		if head.Kind != "Namespace" {
			c.namespaceOf[where+" "+object.GetName()] = object.GetNamespace()
		}
		return true
	}
	switch head.APIVersion + " " + head.Kind {
	case "v1 Namespace":
		var o core.Namespace
		if read(&o) {
			c.namespaces = append(c.namespaces, o.Name)
		}
	case "v1 ServiceAccount":
		var o core.ServiceAccount
		if read(&o) {
			c.accounts = append(c.accounts, o.Name)
		}
	case "v1 ConfigMap":
		var o core.ConfigMap
		if read(&o) {
			c.configs[o.Name] = o
		}
	case "v1 Secret":
		var o core.Secret
		if read(&o) {
			c.secrets[o.Name] = o
		}
	case "v1 Service":
		var o core.Service
		if read(&o) {
			c.services = append(c.services, o)
		}
	case "apps/v1 Deployment":
		var o apps.Deployment
		if read(&o) {
			r.checkSelector(where, o.Spec.Selector, o.Spec.Template.Labels)
			replicas := int32(1)
			if o.Spec.Replicas != nil {
				replicas = *o.Spec.Replicas
			}
			c.pods = append(c.pods, pods{where, replicas, o.Spec.Template})
		}
	case "batch/v1 Job":
		var o batch.Job
		if read(&o) {
			c.pods = append(c.pods, pods{where, 1, o.Spec.Template})
		}
	case "policy/v1 PodDisruptionBudget":
		var o policy.PodDisruptionBudget
		if read(&o) {
			c.budgets = append(c.budgets, o)
		}
	case "networking.k8s.io/v1 NetworkPolicy":
		var o networking.NetworkPolicy
		if read(&o) {
			c.networks = append(c.networks, o)
		}
	default:
		r.fault(file, "nothing is known of %s %s", head.APIVersion, head.Kind)
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
