package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// badSetup is a set-up that is broken in one way. The test breaks it for real, wants doctor to name that first, does what it
// advises, and wants the finding to be gone.
type badSetup struct {
	name                   string
	broken                 func(t *testing.T) *broken
	verdict, area, subject string
	finding, fix           []string // parts of what is said first
}

// broken is a set-up and the way to mend it.
type broken struct {
	environ map[string]string
	follow  func(t *testing.T, b *broken, fix string)
}

// notInShort leaves a test out of the race detector's run: nothing in doctor runs beside something else.
func notInShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
}

func testSetups(t *testing.T, list []badSetup) {
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := s.broken(t)
			found := diagnose(t, b.environ)
			if len(found.Findings) == 0 {
				t.Fatalf("doctor finds nothing: %+v", found.Checks)
			}
			first := found.Findings[0]
			if first.Verdict != s.verdict || first.Area != s.area || first.Subject != s.subject {
				t.Fatalf("doctor begins with %+v\nwant %s of %s %s, among\n%+v", first, s.verdict, s.area, s.subject,
					found.Findings)
			}
			wantParts(t, first.Finding, s.finding...)
			wantParts(t, first.Fix, s.fix...)
			t.Logf("%s | %s %s, %s: %s | %s", s.name, first.Verdict, first.Area, first.Subject, first.Finding, first.Fix)
			b.follow(t, b, first.Fix)
			for _, c := range diagnose(t, b.environ).Findings {
				if c.Area == s.area && c.Subject == s.subject && strings.Contains(c.Finding, s.finding[0]) {
					t.Errorf("the advice was followed, and doctor still says %+v", c)
				}
			}
		})
	}
}

// diagnose calls doctor, which may fail.
func diagnose(t *testing.T, environ map[string]string) diagnosis {
	t.Helper()
	r := call(t, environ, "", "doctor", "--output", "json")
	var d diagnosis
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	if want := map[bool]int{true: exitFailure, false: exitOK}[d.Failed > 0]; r.code != want {
		t.Errorf("exit code %d with %d failures", r.code, d.Failed)
	}
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("shows the password: %s%s", r.stdout, r.stderr)
	}
	return d
}

var inBackticks = regexp.MustCompile("`([^`]+)`")

// advised are what a fix names to be run.
func advised(fix string) []string {
	var list []string
	for _, found := range inBackticks.FindAllStringSubmatch(fix, -1) {
		list = append(list, found[1])
	}
	return list
}

// runSetup follows "runmetrics setup …".
func runSetup(t *testing.T, b *broken, fix string) {
	t.Helper()
	args := []string{"setup"}
	for _, command := range advised(fix) {
		if strings.HasPrefix(command, "runmetrics setup") {
			args = strings.Fields(command)[1:]
		}
	}
	if !strings.Contains(fix, "runmetrics setup") {
		t.Fatalf("no word of setup: %s", fix)
	}
	call(t, b.environ, "", args...).want(t, exitOK)
}

// runShell follows the first command that begins with a word.
func runShell(t *testing.T, fix, word string) {
	t.Helper()
	for _, command := range advised(fix) {
		if strings.HasPrefix(command, word+" ") {
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", command, err, out)
			}
			return
		}
	}
	t.Fatalf("no %s in %q", word, fix)
}

// set follows an advice to set variables.
func set(more map[string]string) func(*testing.T, *broken, string) {
	return func(_ *testing.T, b *broken, _ string) { b.environ = with(b.environ, more) }
}

// setUpBroker is a NATS server with everything that a deployment needs.
func setUpBroker(t *testing.T) (*broker, map[string]string) {
	t.Helper()
	server, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	return server, environ
}

// healthy is the environment of a service that is up and has nothing to be said against, but that its HTTP address is not
// known to doctor.
func healthy(t *testing.T) map[string]string {
	t.Helper()
	_, environ := setUpBroker(t)
	environ["LOG_FORMAT"] = "json"
	startService(t, environ).up(t)
	if d := diagnose(t, environ); len(d.Findings) > 0 {
		t.Fatalf("not well to begin with: %+v", d.Findings)
	}
	return environ
}

// idleAddress is one where nobody listens when it is asked for.
func idleAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Names under .test, and hosts that look like Neon's, lead to this machine, so that servers here can be reached by names
// that are not loopback's. No other name is known to the tests of this package.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go answerNames(theirs)
		return ours, nil
	}}
}

// answerNames speaks DNS as over TCP: each message begins with its length.
func answerNames(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := conn.Read(size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := conn.Read(question); err != nil {
			return
		}
		answer := answerName(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answerName answers one question, with an address of version 4 at the most.
func answerName(question []byte) []byte {
	const header = 12
	name, at := "", header
	for question[at] != 0 {
		next := at + 1 + int(question[at])
		name, at = name+string(question[at+1:next])+".", next
	}
	end := at + 1 + 4 // the type and the class
	known := strings.HasSuffix(name, ".test.") && !strings.HasPrefix(name, "nowhere.") || strings.HasSuffix(name,
		".neon.tech.")
	wantsAddress := binary.BigEndian.Uint16(question[at+1:]) == 1
	answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[header:end]...)
	switch {
	case !known:
		answer[3] |= 3 // no such name
	case wantsAddress:
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return answer
}
