package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// The broker that docker-compose.yml starts must not lose an acknowledged message, and must take what the stream takes: with
// and without users.
func TestTheDeployedBrokerIsSafe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../deploy")); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "nats-users.conf"), "authorization {", "RUNMETRICS_PUBLISHER_PASSWORD: a\n"+
		"RUNMETRICS_PROCESSOR_PASSWORD: b\nRUNMETRICS_OPERATOR_PASSWORD: c\nauthorization {")
	for name, wantUsers := range map[string]int{"nats.conf": 0, "nats-with-users.conf": 3} {
		o, err := server.ProcessConfigFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !o.JetStream || !o.SyncAlways || len(o.Users) != wantUsers {
			t.Errorf("%s: JetStream %v, sync always %v, %d users", name, o.JetStream, o.SyncAlways, len(o.Users))
		}
		if o.MaxPayload < brokerMaxPayload {
			t.Errorf("%s: max payload %d, want at least %d", name, o.MaxPayload, brokerMaxPayload)
		}
	}
}

// TestDeployment reads docker-compose.yml and the Kubernetes manifests as Compose and Kubernetes do, and compares what they say
// with what the program takes. That it would find what is wrong is seen with copies that are broken, each in one way.
func TestDeployment(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what is built with other modules")
	}
	t.Parallel()
	check := buildTool(t, "../../tools/deploycheck", ".")
	for _, fault := range deployFaults(t, check, deployCopy(t)) {
		t.Error(fault)
	}
	for _, m := range deployMutations {
		dir := deployCopy(t)
		edit(t, filepath.Join(dir, m.file), m.from, m.to)
		found := deployFaults(t, check, dir)
		if !slices.ContainsFunc(found, func(fault string) bool { return strings.Contains(fault, m.want) }) {
			t.Errorf("%s with %q in place of %q: says %q, want %q", m.file, m.to, m.from, found, m.want)
		}
	}
}

// buildTool builds a program of a module of its own, and returns its path.
func buildTool(t *testing.T, module, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tool")
	get := exec.CommandContext(t.Context(), "go", "mod", "download")
	get.Dir = module
	if said, err := get.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("the modules of %s cannot be had: %s", module, bytes.TrimSpace(said)))
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg)
	build.Dir = module
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s in %s: %v: %s", pkg, module, err, said)
	}
	return binary
}

// deployCopy copies everything that has to do with deployment.
func deployCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "deploy"), os.DirFS("../../deploy")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker-compose.yml", ".env.example"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// edit replaces a text in a file, wherever it stands there.
func edit(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s does not say %q", file, from)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// deployed is what deploycheck prints: how runmetrics is called, and what is set for it.
type deployed struct {
	Calls []struct {
		Where string
		Args  []string
	}
	Settings []struct {
		Where, Name string
		Value       *string
	}
}

// deployFaults is everything that is wrong with the deployment in a directory.
func deployFaults(t *testing.T, check, dir string) (faults []string) {
	t.Helper()
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), check, dir)
	command.Stderr = &said
	out, err := command.Output()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitFailure || said.Len() == 0) {
		t.Fatalf("%v: %s", err, said.String())
	}
	for line := range strings.Lines(said.String()) {
		faults = append(faults, strings.TrimSpace(line))
	}
	var d deployed
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	faults = append(faults, d.callFaults()...)
	return append(faults, d.settingFaults()...)
}

// callFaults are commands and flags that the program does not have.
func (d *deployed) callFaults() (faults []string) {
	if len(d.Calls) == 0 {
		return []string{"runmetrics is not called"}
	}
	for _, call := range d.Calls {
		root := new(app).root()
		command, rest, err := root.Find(call.Args)
		if err == nil {
			err = command.ParseFlags(rest)
		}
		if err == nil && command == root {
			err = errors.New("no command")
		}
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: runmetrics %s: %v", call.Where, strings.Join(call.Args, " "), err))
		}
		if slices.Contains(call.Args, "--insecure") && !strings.Contains(call.Where, "docker-compose.yml") {
			faults = append(faults, call.Where+": is open to everyone who reaches it")
		}
	}
	return faults
}

// embeddedOnly are the variables of what a container has no use for: servers in its own process.
var embeddedOnly = []string{"NATS_LISTEN", "NATS_SYNC", "DATA_DIR"}

// settingFaults are variables that the program does not know, and those that docker-compose.yml has no place for.
func (d *deployed) settingFaults() (faults []string) {
	known := make(map[string]bool)
	for field := range fields() {
		name := field.Tag.Get("env")
		known[name] = true
		if field.Type == reflect.TypeFor[Secret]() {
			known[name+"_FILE"] = true
		}
	}
	given := make(map[string]bool)
	for _, s := range d.Settings {
		if !known[s.Name] && !strings.HasPrefix(s.Name, otelPrefix) {
			faults = append(faults, s.Where+": "+s.Name+" is no variable of runmetrics")
		}
		if s.Where == "docker-compose.yml runmetrics" {
			given[s.Name] = true
		}
	}
	for name := range known {
		if !given[name] && !slices.Contains(embeddedOnly, name) {
			faults = append(faults, "docker-compose.yml runmetrics: "+name+" cannot be set")
		}
	}
	return faults
}
