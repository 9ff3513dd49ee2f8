package emulator

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openIn opens an emulator on a directory, without a server, and its Web API.
func openIn(t *testing.T, dir string, now func() time.Time) (*Emulator, *api) {
	t.Helper()
	e, err := New(Config{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return e, &api{data: e.data, targets: func(int) {}}
}

func mustClose(t *testing.T, e *Emulator) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnOrganisationIsAsItWasWhenItIsOpenedAgain(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	e, a := openIn(t, dir, clock.Now)
	serve(t, a, http.MethodPost, "EntityDefinitions", tableBody("new_Table"))
	serve(t, a, http.MethodPost, definitionPath+"/Attributes", columnBody("Decimal", `"SchemaName":"apex_More","Precision":3`))
	serve(t, a, http.MethodPost, definitionPath+"/Keys", keyBody("apex_RunKey", runKey))
	serve(t, a, http.MethodPost, bulkOf("UpsertMultiple"), targetsOf(0, 100))
	serve(t, a, http.MethodPatch, rowAt(1), `{"apex_more":1.5,"apex_runid":"r","apex_phase":"p"}`)
	serve(t, a, http.MethodPatch, rowAt(2), `{}`)
	serve(t, a, http.MethodDelete, rowAt(2), "")
	clock.advance(keyDone)
	serve(t, a, http.MethodPatch, "new_tables("+rowID(1)+")", `{"new_title":"t"}`)
	want := fmt.Sprint(e.Rows(campaigns), e.Rows("new_tables"))
	mustClose(t, e)
	e, a = openIn(t, dir, clock.Now)
	if got := fmt.Sprint(e.Rows(campaigns), e.Rows("new_tables")); got != want {
		t.Errorf("rows\n%s\nwant\n%s", got, want)
	}
	serve(t, a, http.MethodPatch, campaigns+"(apex_runid='r',apex_phase='p')", `{}`) // the key is active, and finds its row
	if n := len(e.Rows(campaigns)); n != 101 {
		t.Errorf("%d rows, want 101", n)
	}
	row := e.Rows("new_tables")[0]
	serve(t, a, http.MethodPatch, "new_tables("+rowID(1)+")", `{}`)
	if after := e.Rows("new_tables")[0]; after["versionnumber"] == row["versionnumber"] {
		t.Error("an ETag was given twice")
	}
	mustClose(t, e)
}

func TestNothingIsWrittenAfterClose(t *testing.T) {
	e, a := openIn(t, t.TempDir(), time.Now)
	mustClose(t, e)
	r, err := http.NewRequest(http.MethodPost, "/api/data/v9.2/"+campaigns, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	w := newAnswer()
	a.ServeHTTP(w, r)
	if w.status != http.StatusInternalServerError || len(e.Rows(campaigns)) != 0 {
		t.Errorf("status %d, rows %v", w.status, e.Rows(campaigns))
	}
	mustClose(t, e)
}

// TestATransactionThatWasNotWrittenToItsEndIsCutOff breaks the journal off at each byte of its last transaction.
func TestATransactionThatWasNotWrittenToItsEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalName)
	e, a := openIn(t, dir, time.Now)
	serve(t, a, http.MethodPatch, rowAt(1), `{"apex_name":"first"}`)
	whole := fileSize(t, path)
	want := fmt.Sprint(e.Rows(campaigns))
	serve(t, a, http.MethodPost, bulkOf("UpsertMultiple"), targets(target1(withID(1), `"apex_name":"last"`), target1(withID(2))))
	mustClose(t, e)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := whole; end < int64(len(content)); end++ {
		torn := content[:end]
		if end%2 == 1 { // or the right length, but not the content
			torn = append(slices.Clone(torn), bytes.Repeat([]byte{0xff}, len(content)-int(end))...)
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		e, a := openIn(t, dir, time.Now)
		if got := fmt.Sprint(e.Rows(campaigns)); got != want {
			t.Fatalf("broken off at %d of %d: rows %s, want %s", end, len(content), got, want)
		}
		serve(t, a, http.MethodPatch, rowAt(3), `{}`)
		mustClose(t, e)
		again, _ := openIn(t, dir, time.Now)
		if n := len(again.Rows(campaigns)); n != 2 {
			t.Fatalf("broken off at %d of %d: %d rows after another write", end, len(content), n)
		}
		mustClose(t, again)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestAFileThatIsDamagedOrAnotherIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalName)
	e, a := openIn(t, dir, time.Now)
	serve(t, a, http.MethodPatch, rowAt(1), `{"apex_name":"first"}`)
	serve(t, a, http.MethodPatch, rowAt(1), `{"apex_name":"second"}`)
	mustClose(t, e)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(journalMagic)+100] ^= 1
	for _, bad := range [][]byte{content, []byte("something else, of whatever length"), []byte("short")} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Dir: dir}); err == nil {
			t.Errorf("opened %.40q", bad)
		}
		if got, _ := os.ReadFile(path); string(got) != string(bad) {
			t.Errorf("the file is %.40q, was %.40q", got, bad)
		}
	}
	if _, err := New(Config{Dir: path}); err == nil {
		t.Error("opened a file as a directory")
	}
}

func TestAJournalThatIsMostlyOutdatedIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalName)
	e, a := openIn(t, dir, time.Now)
	var list []string
	for n := range 6000 { // more than a frame of the new journal
		list = append(list, target1(withID(n), `"apex_name":"`+strings.Repeat("a", 200)+`"`))
	}
	body := targets(list...)
	serve(t, a, http.MethodPost, bulkOf("UpsertMultiple"), body)
	size, shrank := int64(0), false
	for range spare/len(e.Rows(campaigns)) + 5 {
		serve(t, a, http.MethodPost, bulkOf("UpsertMultiple"), body)
		before := size
		size = fileSize(t, path)
		shrank = shrank || size < before
	}
	if !shrank {
		t.Errorf("the journal grew to %d bytes", size)
	}
	want := fmt.Sprint(e.Rows(campaigns))
	mustClose(t, e)
	e, _ = openIn(t, dir, time.Now)
	if got := fmt.Sprint(e.Rows(campaigns)); got != want {
		t.Error("the rows are others")
	}
	mustClose(t, e)
}

// TestWhatWasAnsweredSurvivesAKill kills a process that writes, again and again.
func TestWhatWasAnsweredSurvivesAKill(t *testing.T) {
	if dir := os.Getenv("EMULATOR_TEST_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	for range 3 {
		answered := killWriter(t, dir, 20)
		e, _ := openIn(t, dir, time.Now)
		rows := e.Rows(campaigns)
		mustClose(t, e)
		if len(rows)%10 != 0 || len(rows) < answered {
			t.Fatalf("%d rows, and %d were answered", len(rows), answered)
		}
	}
}

// writeUntilKilled writes ten rows at a time behind those that are there, and says after each answer how many there are.
func writeUntilKilled(t *testing.T, dir string) {
	e, a := openIn(t, dir, time.Now)
	for n := len(e.Rows(campaigns)); ; n += 10 {
		var list []string
		for i := range 10 {
			list = append(list, target1(withID(n+i)))
		}
		serve(t, a, http.MethodPost, bulkOf("UpsertMultiple"), targets(list...))
		fmt.Printf("rows %d\n", n+10)
	}
}

// killWriter runs a writer until it said something so often, and returns what it said last.
func killWriter(t *testing.T, dir string, times int) (answered int) {
	t.Helper()
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhatWasAnsweredSurvivesAKill$")
	writer.Env = append(os.Environ(), "EMULATOR_TEST_DIR="+dir)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range times {
		if !lines.Scan() {
			t.Fatal("the writer ended by itself: ", lines.Text())
		}
		text, _ := strings.CutPrefix(lines.Text(), "rows ")
		if answered, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "rows "); ok {
			if n, err := strconv.Atoi(text); err == nil {
				answered = max(answered, n)
			}
		}
	}
	_ = writer.Wait() // killed
	return answered
}
