package replay_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

// archive writes a file and returns its path.
func archive(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func lineOf(run string, n int) string {
	e := finished(run, n)
	return string(events.Encode(&e)) + "\n"
}

func TestAFileGivesOneRecordForEachLine(t *testing.T) {
	t.Parallel()
	text := lineOf("r", 1) + "\n  " + strings.TrimSpace(lineOf("r", 2)) + "\r\n" + "not JSON\n" +
		strings.Repeat("x", 3*events.MaxSize) + "\n" + strings.TrimSpace(lineOf("s", 3))
	want := []string{"1 r-1 ", "3 r-2 ", "4  malformed", "5  too_large", "6 s-3 "}
	half := strings.Index(text, "not JSON")
	for name, file := range map[string][]byte{
		"plain":          []byte(text),
		"gzip":           packed(t, text),
		"two gzip parts": append(packed(t, text[:half]), packed(t, text[half:])...),
	} {
		source := replay.OpenFile(archive(t, file), nil, replay.Filter{})
		for range 2 {
			var got []string
			err := source.Read(t.Context(), func(r *replay.Record) error {
				reason := events.Reason("")
				if r.Rejected != nil {
					reason = r.Rejected.Reason
				}
				got = append(got, fmt.Sprintf("%d %s %s", r.Sequence, r.Event.ID, reason))
				if !r.Time.IsZero() || r.Size == 0 {
					t.Errorf("%s: %+v", name, r)
				}
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: read %q, error %v, want %q", name, got, err, want)
			}
		}
	}
	filtered := replay.OpenFile(archive(t, []byte(text)), nil, replay.Filter{RunID: "s"})
	if got := sequences(t, filtered); !slices.Equal(got, []uint64{6}) {
		t.Errorf("read lines %v of a run", got)
	}
}

func TestStdinIsReadOnce(t *testing.T) {
	t.Parallel()
	source := replay.OpenFile("-", bytes.NewReader(packed(t, lineOf("r", 1)+lineOf("r", 2))), replay.Filter{})
	if got := sequences(t, source); len(got) != 2 || source.Name() != "standard input" {
		t.Errorf("read %v of %s", got, source.Name())
	}
	if err := source.Read(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "cannot be read twice") {
		t.Errorf("second time: %v", err)
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for n := range 2000 {
		text.WriteString(lineOf("r", n))
	}
	whole := packed(t, text.String())
	damaged := slices.Clone(whole)
	damaged[len(damaged)-6] ^= 1 // of the checksum
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"cut":         {whole[:len(whole)/2], "breaks off in the middle of its gzip data"},
		"cut header":  {whole[:5], "breaks off in the middle of its gzip data"},
		"cut trailer": {whole[:len(whole)-3], "breaks off in the middle of its gzip data"},
		"damaged":     {damaged, "is damaged: gzip: invalid checksum"},
		"more behind": {append(slices.Clone(whole), "more than ten bytes"...), "is damaged: gzip: invalid header"},
	} {
		path := archive(t, c.file)
		err := replay.OpenFile(path, nil, replay.Filter{}).Read(t.Context(), func(r *replay.Record) error {
			if r.Rejected != nil {
				t.Errorf("%s: line %d: %v", name, r.Sequence, r.Rejected)
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), path+" "+c.want) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
	err := replay.OpenFile("/nowhere", nil, replay.Filter{}).Read(t.Context(), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestTheReadingOfAFileEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	source := replay.OpenFile(archive(t, []byte(lineOf("r", 1)+lineOf("r", 2))), nil, replay.Filter{})
	err := source.Read(ctx, func(*replay.Record) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
