package main

import (
	"path"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (r *report) checkSelector(where string, selector *meta.LabelSelector, of map[string]string) {
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil || !s.Matches(labels.Set(of)) {
		r.fault(where, "selects %s, which are not the labels %v", meta.FormatLabelSelector(selector), of)
	}
}

func (r *report) checkPods(c *cluster, p pods) {
	spec := p.template.Spec
	if !slices.Contains(c.accounts, spec.ServiceAccountName) {
		r.fault(p.where, "service account %q is not there", spec.ServiceAccountName)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		r.fault(p.where, "mounts a token that it does not need")
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		r.fault(p.where, "shares its machine's network or processes")
	}
	for _, spread := range spec.TopologySpreadConstraints {
		r.checkSelector(p.where, spread.LabelSelector, p.template.Labels)
	}
	for _, container := range spec.Containers {
		where := p.where + " " + container.Name
		r.checkRestricted(where, spec.SecurityContext, container)
		r.checkProbes(where, container)
		r.checkMounts(c, where, spec, container)
		r.noteContainer(c, where, container)
	}
}

// checkRestricted holds a container to the pod security standard "restricted", a read-only root and limits.
func (r *report) checkRestricted(where string, pod *core.PodSecurityContext, c core.Container) {
	own := c.SecurityContext
	switch {
	case pod == nil || own == nil:
		r.fault(where, "has no security context")
		return
	case pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot || pod.RunAsUser == nil || *pod.RunAsUser == 0:
		r.fault(where, "may run as root")
	case pod.SeccompProfile == nil || pod.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		r.fault(where, "may call everything of the kernel: no seccomp profile")
	case own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation:
		r.fault(where, "may gain rights")
	case own.Capabilities == nil || !slices.Contains(own.Capabilities.Drop, "ALL") || len(own.Capabilities.Add) > 0:
		r.fault(where, "keeps capabilities")
	case own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem:
		r.fault(where, "can write to its own files")
	case own.Privileged != nil && *own.Privileged:
		r.fault(where, "is privileged")
	}
	limits, requests := c.Resources.Limits, c.Resources.Requests
	if limits.Memory().IsZero() || requests.Memory().IsZero() || requests.Cpu().IsZero() {
		r.fault(where, "says neither how much it needs nor how much it may have")
	}
	if !isPinned(c.Image) {
		r.fault(where, "image %q is not pinned", c.Image)
	}
}

func (r *report) checkProbes(where string, c core.Container) {
	probes := map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe}
	for name, probe := range probes {
		switch {
		case probe == nil && len(c.Ports) == 0:
		case probe == nil || probe.HTTPGet == nil:
			r.fault(where, "has no %s probe by HTTP", name)
		case !hasPort(c.Ports, probe.HTTPGet.Port):
			r.fault(where, "the %s probe asks port %s, which is not there", name, probe.HTTPGet.Port.String())
		}
	}
}

func hasPort(ports []core.ContainerPort, wanted intstr.IntOrString) bool {
	return slices.ContainsFunc(ports, func(p core.ContainerPort) bool {
		if wanted.Type == intstr.String {
			return p.Name == wanted.StrVal
		}
		return p.ContainerPort == wanted.IntVal
	})
}

// checkMounts follows each mount to what is mounted, and each variable that names a file to the key that becomes the file.
func (r *report) checkMounts(c *cluster, where string, spec core.PodSpec, container core.Container) {
	files := make(map[string]bool)
	for _, mount := range container.VolumeMounts {
		i := slices.IndexFunc(spec.Volumes, func(v core.Volume) bool { return v.Name == mount.Name })
		if i < 0 {
			r.fault(where, "mounts %s, which is no volume", mount.Name)
			continue
		}
		switch volume := spec.Volumes[i]; {
		case volume.EmptyDir != nil:
		case volume.Secret != nil:
			secret, found := c.secrets[volume.Secret.SecretName]
			if !found {
				r.fault(where, "mounts the secret %s, which is not described", volume.Secret.SecretName)
			}
			for key := range secret.StringData {
				files[path.Join(mount.MountPath, key)] = true
			}
		default:
			r.fault(where, "volume %s is neither empty nor a secret", volume.Name)
		}
	}
	for _, s := range r.settingsOf(c, where, container) {
		if strings.HasSuffix(s.Name, "_FILE") && !files[*s.Value] {
			r.fault(where, "%s is %s, which is not mounted", s.Name, *s.Value)
		}
	}
}

// settingsOf are the variables of a container.
func (r *report) settingsOf(c *cluster, where string, container core.Container) []setting {
	var all []setting
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef == nil {
			r.fault(where, "takes its environment from something else than a ConfigMap: secrets are given as files")
			continue
		}
		config, found := c.configs[from.ConfigMapRef.Name]
		if !found {
			r.fault(where, "takes its environment from %s, which is not there", from.ConfigMapRef.Name)
		}
		for name, value := range config.Data {
			all = append(all, setting{where, name, &value})
		}
	}
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			r.fault(where, "%s comes from elsewhere: secrets are given as files", variable.Name)
			continue
		}
		all = append(all, setting{where, variable.Name, &variable.Value})
	}
	return all
}

func (r *report) noteContainer(c *cluster, where string, container core.Container) {
	r.Calls = append(r.Calls, call{where, container.Args})
	r.Settings = append(r.Settings, r.settingsOf(c, where, container)...)
}

// checkServing follows everything that selects pods.
func (r *report) checkServing(c *cluster) {
	for _, s := range c.services {
		for _, port := range s.Spec.Ports {
			if !c.listens(s.Spec.Selector, port.TargetPort) {
				r.fault(manifest+" Service "+s.Name, "leads to no pod with port %s", port.TargetPort.String())
			}
		}
	}
	for _, b := range c.budgets {
		if !slices.ContainsFunc(c.selected(b.Spec.Selector.MatchLabels), func(p pods) bool { return p.replicas > 1 }) {
			r.fault(manifest+" PodDisruptionBudget "+b.Name, "is for no pods that there are several of")
		}
	}
	for _, n := range c.networks {
		for _, ingress := range n.Spec.Ingress {
			for _, port := range ingress.Ports {
				if !c.listens(n.Spec.PodSelector.MatchLabels, *port.Port) {
					r.fault(manifest+" NetworkPolicy "+n.Name, "lets in to port %s, which no pod has", port.Port.String())
				}
			}
		}
	}
}

// selected are the pods that have these labels.
func (c *cluster) selected(by map[string]string) (list []pods) {
	for _, p := range c.pods {
		if labels.SelectorFromSet(by).Matches(labels.Set(p.template.Labels)) {
			list = append(list, p)
		}
	}
	return list
}

// listens tells whether any pod that has these labels has the port.
func (c *cluster) listens(by map[string]string, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.selected(by), func(p pods) bool {
		return slices.ContainsFunc(p.template.Spec.Containers, func(c core.Container) bool { return hasPort(c.Ports, port) })
	})
}
