package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the image is built with here.
const (
	imageVersion  = "v1.2.3-image-test"
	imageRevision = "0123456789abcdef0123456789abcdef01234567"
	imageTime     = "2026-11-26T10:00:00Z"
	imageUser     = 65532
	imageMaxBytes = 60 << 20
)

// TestImage builds the image of the Dockerfile, but for the stage that compiles, which is done here with the same command,
// and runs it: as its own user, without rights, with nothing to write to but its volume.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	t.Parallel()
	stage := buildStage(t)
	wantVersion(t, stage)
	image := buildImage(t, stage)
	image.wantConfig(t)
	image.wantContent(t)
	c := image.container(t)
	if said := c.run(t, "version", "--output", "json"); !strings.Contains(said, imageVersion) {
		t.Errorf("says it is %s", said)
	}
	c.serves(t)
}

// dockerfileBuild is the command that compiles, with its lines joined.
func dockerfileBuild(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	found := regexp.MustCompile(`(?m)^RUN (?:--mount=\S+\s+)*(.*go build.*)$`).FindStringSubmatch(joined)
	if found == nil {
		t.Fatal("the Dockerfile does not compile")
	}
	return found[1]
}

// buildStage makes a folder of what the compiling stage would leave.
func buildStage(t *testing.T) (stage string) {
	t.Helper()
	stage = t.TempDir()
	compile := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(dockerfileBuild(t), "/out/", stage+"/out/"))
	compile.Dir = "../.."
	compile.Env = append(os.Environ(), "VERSION="+imageVersion, "REVISION="+imageRevision, "COMMIT_TIME="+imageTime,
		"TARGETOS=", "TARGETARCH=")
	if said, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	const authorities = "etc/ssl/certs/ca-certificates.crt"
	trusted, err := os.ReadFile("/" + authorities)
	if err != nil {
		missing(t, "this machine has no certificates of authorities: "+err.Error())
	}
	for _, dir := range []string{"out/data", filepath.Dir(authorities)} {
		if err := os.MkdirAll(filepath.Join(stage, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(stage, authorities), trusted, 0o644); err != nil {
		t.Fatal(err)
	}
	return stage
}

// wantVersion fails the test unless the binary knows what it was given.
func wantVersion(t *testing.T, stage string) {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), filepath.Join(stage, "out/runmetrics"), "version", "--output", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := buildInfo()
	want.Version, want.Revision, want.CommitTime, want.Dirty = imageVersion, imageRevision, imageTime, false
	var got build
	if err := json.Unmarshal(said, &got); err != nil || got != want {
		t.Errorf("the binary says %s, want %+v", said, want)
	}
}

// builtImage is an image with its content unpacked.
type builtImage struct {
	root   string // its file system
	config imageConfig
}

// imageConfig is what an image says of how it is run.
type imageConfig struct {
	User        string
	Env         []string
	Entrypoint  []string
	Cmd         []string
	Volumes     map[string]struct{}
	Labels      map[string]string
	Healthcheck struct {
		Test []string
	}
}

// buildImage builds the image in a store of its own. The engine can do that without a daemon and without starting anything.
func buildImage(t *testing.T, stage string) *builtImage {
	t.Helper()
	for _, program := range []string{"buildah", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed")
		}
	}
	if os.Geteuid() != 0 {
		missing(t, "only root may unpack an image and run it")
	}
	store := t.TempDir()
	buildah := func(args ...string) []byte {
		t.Helper()
		var faults bytes.Buffer
		command := exec.CommandContext(t.Context(), "buildah",
			append([]string{"--storage-driver=vfs", "--root=" + store + "/root", "--runroot=" + store + "/run"}, args...)...)
		command.Stderr = &faults
		out, err := command.Output()
		if err != nil {
			t.Fatalf("buildah %v: %v: %s", args, err, faults.String())
		}
		return bytes.TrimSpace(out)
	}
	buildah("build", "--isolation=chroot", "--format=docker", "--layers=false", "--build-context=build="+stage,
		"--build-arg=VERSION="+imageVersion, "--build-arg=REVISION="+imageRevision, "--build-arg=COMMIT_TIME="+imageTime,
		"--file=../../Dockerfile", "--tag=runmetrics", t.TempDir())
	var about struct {
		Docker struct{ Config imageConfig }
	}
	if err := json.Unmarshal(buildah("inspect", "--type=image", "runmetrics"), &about); err != nil {
		t.Fatal(err)
	}
	buildah("from", "--name=unpacked", "runmetrics")
	return &builtImage{root: string(buildah("mount", "unpacked")), config: about.Docker.Config}
}

func (i *builtImage) wantConfig(t *testing.T) {
	t.Helper()
	c := i.config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/runmetrics"}) || !slices.Equal(c.Cmd, []string{"run"}) ||
		!slices.Equal(c.Healthcheck.Test, []string{"CMD", "/runmetrics", "healthcheck"}) {
		t.Errorf("is run as %+v", c)
	}
	if _, found := c.Volumes["/data"]; !found {
		t.Errorf("volumes: %v", c.Volumes)
	}
	for label, want := range map[string]string{"version": imageVersion, "revision": imageRevision, "created": imageTime} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
}

// wantContent fails the test unless the image holds the program, authorities and an empty volume, and nothing else.
func (i *builtImage) wantContent(t *testing.T) {
	t.Helper()
	var files []string
	var size int64
	err := filepath.WalkDir(i.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, size = append(files, strings.TrimPrefix(path, i.root)), size+info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/runmetrics"}; !slices.Equal(files, want) {
		t.Errorf("holds %v, want %v", files, want)
	}
	if size > imageMaxBytes {
		t.Errorf("has %d MB", size>>20)
	}
	about, err := os.Stat(filepath.Join(i.root, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := about.Sys().(*syscall.Stat_t).Uid; owner != imageUser {
		t.Errorf("the volume belongs to %d", owner)
	}
	t.Logf("the image has %.1f MB", float64(size)/1e6)
}

// container runs the image as engines do, with a volume that outlives each run.
type container struct {
	image  *builtImage
	bundle string
	data   string // the volume
}

func (i *builtImage) container(t *testing.T) *container {
	t.Helper()
	c := &container{i, t.TempDir(), filepath.Join(t.TempDir(), "data")}
	if err := os.Mkdir(c.data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(c.data, imageUser, imageUser); err != nil {
		t.Fatal(err)
	}
	return c
}

// command is a container that is not started yet. It has a network of its own, so that no port is taken.
func (c *container) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	spec := map[string]any{
		"ociVersion": "1.0.2",
		"root":       map[string]any{"path": c.image.root, "readonly": true},
		"process": map[string]any{
			"cwd": "/", "args": append(slices.Clone(c.image.config.Entrypoint), args...),
			"env":             append(slices.Clone(c.image.config.Env), "LOG_FORMAT=json"),
			"user":            map[string]int{"uid": imageUser, "gid": imageUser},
			"capabilities":    map[string]any{},
			"noNewPrivileges": true,
		},
		"mounts": []any{map[string]any{"destination": "/proc", "type": "proc", "source": "proc"},
			map[string]any{"destination": "/data", "type": "bind", "source": c.data, "options": []string{"bind", "nosuid", "nodev"}}},
		"linux": map[string]any{"namespaces": []any{map[string]string{"type": "pid"}, map[string]string{"type": "network"},
			map[string]string{"type": "ipc"}, map[string]string{"type": "uts"}, map[string]string{"type": "mount"}}},
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(c.bundle, name)
	if err := os.Mkdir(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c.runc("run", "--bundle", bundle, name)
}

func (c *container) runc(args ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(c.bundle, "state")}, args...)...)
}

// run is a container that ends by itself. Where this machine starts none, the test ends.
func (c *container) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.command(t, "once", args...).CombinedOutput()
	if err != nil && bytes.Contains(out, []byte("operation not permitted")) {
		missing(t, "no container may be started here: "+string(out))
	}
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// serves runs the service with everything embedded: it becomes healthy by its own check, commits, and ends on SIGTERM.
func (c *container) serves(t *testing.T) {
	t.Helper()
	const name, n = "service", 300
	ended := c.start(t, name, c.image.config.Cmd...)
	until(t, patience, "healthy", func() bool {
		if len(ended) > 0 {
			t.Fatal("the service has ended")
		}
		return c.runc("exec", name, "/runmetrics", "healthcheck").Run() == nil
	})
	for _, args := range [][]string{{"publish", "--generate", strconv.Itoa(n)}, {"replay"}} {
		if out, err := c.runc(append([]string{"exec", name, "/runmetrics"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	db := openDatabase(t, map[string]string{"DATA_DIR": c.data})
	defer db.Close()
	until(t, patience, "everything is committed", func() bool {
		_, stands := new(world).stands(t, db)
		return stands.applied == n
	})
	if out, err := c.runc("kill", name, "TERM").CombinedOutput(); err != nil {
		t.Fatalf("SIGTERM: %v: %s", err, out)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ends with %v", err)
		}
	case <-time.After(drainLimit):
		t.Errorf("still runs %s after SIGTERM", drainLimit)
	}
}

// start starts a container, which is removed with the test, and says how it ended.
func (c *container) start(t *testing.T, name string, args ...string) <-chan error {
	t.Helper()
	running := c.command(t, name, args...)
	var said syncBuffer
	running.Stdout, running.Stderr = &said, &said
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	t.Cleanup(func() {
		_ = c.runc("delete", "--force", name).Run() // it is gone, as a rule
		if t.Failed() {
			t.Logf("the container said: %s", said.String())
		}
	})
	return ended
}
