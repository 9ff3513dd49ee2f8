package sinktest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// missing ends a test whose servers are not installed. Where everything must be tested, that is a failure.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("RUNMETRICS_TEST_ALL") == "1" {
		t.Fatalf("%s is not installed, and RUNMETRICS_TEST_ALL=1 allows no skip", what)
	}
	t.Skipf("%s is not installed", what)
}

// account is the user as whom a server runs.
type account struct {
	uid, gid uint32
}

// serverAccount returns nil where servers may run as ourselves. Postgres and PgBouncer refuse root, so root runs them
// as somebody who owns nothing else that matters.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		return &account{uid: uint32(uid), gid: uint32(gid)}, errors.Join(uidErr, gidErr)
	}
	return nil, errors.New("find a user for the server: neither postgres nor nobody exists")
}

// serverDir makes a directory that the account owns and can get to.
func serverDir(a *account) (string, error) {
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if a != nil && !passable(base) {
			continue
		}
		dir, err := os.MkdirTemp(base, "runmetrics-server-")
		if err == nil && a != nil {
			err = os.Chown(dir, int(a.uid), int(a.gid))
		}
		return dir, err
	}
	return "", errors.New("make the server's directory: another user can pass to no temporary directory")
}

// passable tells whether everybody may go through the directory and all above it.
func passable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// freePort returns a port on which nobody listened a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// process is a server under way.
type process struct {
	*os.Process
	done chan struct{} // closed when it has ended
}

// startProcess starts a server that writes to the log file. It is sent onDeath should the test binary die.
func startProcess(a *account, onDeath syscall.Signal, logFile string, path string, args ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(path, args...)
	cmd.Dir = filepath.Dir(logFile)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processAttributes(a, onDeath)
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel sends the signal when the thread ends that started the child, so this one is kept as long.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how a server ends is of no interest
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return &process{Process: cmd.Process, done: done}, nil
}

// end asks the process to end by the signal and waits until it did.
func (p *process) end(signal syscall.Signal) {
	_ = p.Signal(signal) // fails where it has ended already
	<-p.done
}
