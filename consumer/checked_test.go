package consumer_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
)

// followed is a broker with somebody who follows checks.
type followed struct {
	*broker
	checks *consumer.Checks
}

func followChecks(t *testing.T) *followed {
	t.Helper()
	b := startBroker(t)
	checks, err := consumer.FollowChecks(b.conn, "main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := checks.Close(); err != nil {
			t.Error(err)
		}
	})
	return &followed{b, checks}
}

// hears announces checks, and waits until all of them were heard.
func (f *followed) hears(t *testing.T, list ...consumer.Checked) {
	t.Helper()
	for _, c := range list {
		if err := consumer.AnnounceChecked(f.conn, "main", c); err != nil {
			t.Fatal(err)
		}
	}
	f.heard(t)
}

// heard waits until everything that was announced before was heard: the last announcement is one of everything.
func (f *followed) heard(t *testing.T) {
	t.Helper()
	last := consumer.Checked{Command: "reconcile", At: time.Now().UTC(), Whole: true}
	if err := consumer.AnnounceChecked(f.conn, "main", last); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for c := f.last("reconcile"); c == nil || !c.At.Equal(last.At); c = f.last("reconcile") {
		select {
		case <-deadline:
			t.Fatal("the last announcement is not heard")
		case <-time.After(time.Millisecond):
		}
	}
}

// last is what is known of a command.
func (f *followed) last(command string) *consumer.Checked {
	for _, c := range f.checks.Last() {
		if c.Command == command {
			return &c
		}
	}
	return nil
}

func TestOnlyACheckOfEverythingShowsThatAllIsWell(t *testing.T) {
	t.Parallel()
	f := followChecks(t)
	noon := time.Now().UTC().Truncate(time.Second)
	whole := func(left int64) consumer.Checked {
		return consumer.Checked{Command: "replay", At: noon, Left: left, Whole: true}
	}
	part := func(left int64) consumer.Checked {
		return consumer.Checked{Command: "replay", At: noon.Add(time.Minute), Left: left}
	}
	for _, step := range []struct {
		hears []consumer.Checked
		want  *consumer.Checked
	}{
		{hears: []consumer.Checked{part(0)}, want: nil},
		{hears: []consumer.Checked{part(2)}, want: &consumer.Checked{Command: "replay", Left: 2}},
		{hears: []consumer.Checked{whole(3)}, want: &consumer.Checked{Command: "replay", At: noon, Left: 3, Whole: true}},
		{hears: []consumer.Checked{part(0), part(1)}, want: &consumer.Checked{Command: "replay", At: noon, Left: 3, Whole: true}},
		{hears: []consumer.Checked{part(7)}, want: &consumer.Checked{Command: "replay", At: noon, Left: 7, Whole: true}},
		{hears: []consumer.Checked{{Command: "rebuild", At: noon, Whole: true}},
			want: &consumer.Checked{Command: "replay", At: noon, Left: 7, Whole: true}},
		{hears: []consumer.Checked{whole(0)}, want: &consumer.Checked{Command: "replay", At: noon, Whole: true}},
	} {
		f.hears(t, step.hears...)
		if got := f.last("replay"); !reflect.DeepEqual(got, step.want) {
			t.Errorf("after %+v it is known %+v, want %+v", step.hears, got, step.want)
		}
	}
}

func TestAnnouncementsThatNoCommandMakesAreIgnored(t *testing.T) {
	t.Parallel()
	f := followChecks(t)
	for _, said := range []string{
		"", "{", "null", "[]", `"replay"`,
		`{"command":"drop","at":"2026-11-26T12:00:00Z","left":1,"whole":true}`,
		`{"command":"replay","left":1,"whole":true}`,
		`{"command":"replay","at":"yesterday","left":1,"whole":true}`,
		`{"command":"replay","at":"1970-01-01T00:00:00Z","left":1,"whole":true}`,
		`{"command":"replay","at":"9999-01-01T00:00:00Z","left":1,"whole":true}`,
		`{"command":"replay","at":"2026-11-26T12:00:00Z","left":-1,"whole":true}`,
		`{"command":"replay","at":"2026-11-26T12:00:00Z","left":9223372036854775807,"whole":true}`,
		`{"command":"replay","at":"2026-11-26T12:00:00Z","left":1e400,"whole":true}`,
		fmt.Sprintf(`{"command":"replay","at":"2026-11-26T12:00:00Z","left":1,"whole":true,"more":%q}`, strings.Repeat("x", 2_000)),
	} {
		if err := f.conn.Publish(consumer.CheckedSubject("main"), []byte(said)); err != nil {
			t.Fatal(err)
		}
		f.heard(t)
		if got := f.last("replay"); got != nil {
			t.Errorf("%.80s is taken for %+v", said, got)
		}
	}
}
