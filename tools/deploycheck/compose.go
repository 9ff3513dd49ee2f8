package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// checkCompose loads docker-compose.yml with all profiles: once with nothing set, and once with everything that .env.example
// shows.
func (r *report) checkCompose() {
	const file, example = "docker-compose.yml", ".env.example"
	r.checkServices(file, nil)
	shown, err := os.ReadFile(filepath.Join(r.root, example))
	if err != nil {
		r.fault(example, "%v", err)
		return
	}
	set := make(types.Mapping)
	for line := range strings.Lines(string(shown)) {
		name, value, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "#")), "=")
		if found && !strings.Contains(name, " ") {
			set[name] = value
		}
	}
	r.checkServices(file+" with "+example, set)
	text, err := os.ReadFile(filepath.Join(r.root, file))
	if err != nil {
		return // it has been told
	}
	for name := range set {
		if !strings.Contains(string(text), "${"+name) && !strings.Contains(string(text), " "+name+":\n") {
			r.fault(example, "%s is read by nothing in %s", name, file)
		}
	}
}

func (r *report) checkServices(where string, set types.Mapping) {
	details := types.ConfigDetails{WorkingDir: r.root, Environment: maps.Clone(set), // the loader adds to it
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(r.root, "docker-compose.yml")}}}
	project, err := loader.LoadWithContext(context.Background(), details, loader.WithProfiles([]string{"*"}))
	if err != nil {
		r.fault(where, "%v", err)
		return
	}
	for name, service := range project.Services {
		r.checkService(where+" "+name, service)
		if service.Build != nil {
			r.noteService(where+" "+name, service)
		}
	}
}

func (r *report) checkService(where string, s types.ServiceConfig) {
	if s.Build == nil && !isPinned(s.Image) {
		r.fault(where, "image %q is not pinned", s.Image)
	}
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			r.fault(where, "port %d is published beyond this machine: host address %q", port.Target, port.HostIP)
		}
	}
	for _, volume := range s.Volumes {
		r.checkVolume(where, volume)
	}
	if s.Privileged || s.NetworkMode == "host" || s.Pid != "" || len(s.CapAdd) > 0 || !slices.Contains(s.CapDrop, "ALL") ||
		!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		r.fault(where, "has rights that it does not need")
	}
	if !s.ReadOnly {
		r.fault(where, "can write to its own files")
	}
	if s.MemLimit == 0 {
		r.fault(where, "has no limit of memory")
	}
}

// checkVolume looks whether what is mounted is there: Docker would make a folder of what is not.
func (r *report) checkVolume(where string, v types.ServiceVolumeConfig) {
	if v.Type != types.VolumeTypeBind {
		return
	}
	inside, err := filepath.Rel(r.root, v.Source)
	if err != nil || strings.HasPrefix(inside, "..") {
		r.fault(where, "mounts %s, which is outside of the repository", v.Source)
		return
	}
	if strings.HasPrefix(inside, secrets+"/") {
		return // only who deploys has it
	}
	if _, err := os.Stat(v.Source); err != nil {
		r.fault(where, "mounts %s, which is not there", inside)
	}
	if !v.ReadOnly {
		r.fault(where, "can write to %s", inside)
	}
}

// secrets is the folder for what is in no repository.
const secrets = "deploy/secrets"

// noteService keeps what runmetrics is told.
func (r *report) noteService(where string, s types.ServiceConfig) {
	r.Calls = append(r.Calls, call{where, s.Command})
	for name, value := range s.Environment {
		r.Settings = append(r.Settings, setting{where, name, value})
	}
}
