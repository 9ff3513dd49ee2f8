package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

const (
	operatorsPage = "../../docs/operators.md"
	securityPage  = "../../docs/security.md"
)

// testOperatorsPage does what the pages for operators and on security say, line by line in a shell, with a service that runs all
// the while, on Postgres and with a copy in Dataverse.
func testOperatorsPage(t *testing.T, s *system) {
	w := s.onPostgres(t).withDataverse(t, emulator.Config{})
	tool := natsTool(t)
	p := w.publish(t, runbookLoad, runbookEvents, 0)
	p.want(t, exitOK, patience)
	service := w.run(t)
	service.reaches(t, uint64(runbookLoad.Len(runbookEvents)), patience)
	o := &operating{T: t, world: w.world, dir: t.TempDir(), tool: tool, service: service}
	o.prepare()
	for _, page := range []string{operatorsPage, securityPage} {
		for _, line := range shownCommands(readFile(t, page)) {
			o.do(filepath.Base(page), line)
		}
	}
	for _, made := range []string{"backup.dump", "archive-2026-10.ndjson.gz", "api-keys"} {
		if info, err := os.Stat(filepath.Join(o.dir, made)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", made, err)
		}
	}
	const ofCampaign = "SELECT (SELECT count(*) FROM campaign_metrics WHERE campaign_id = $1) + (SELECT count(*) FROM deleted_runs)"
	for name, want := range map[string]int{"DRILL": len(oracle(runbookLoad, runbookEvents)), "ADMIN_URL": 0} { // deleted at last
		db := openDatabase(t, map[string]string{"DATABASE_URL": o.bound[name]})
		defer db.Close()
		var runs int
		err := db.QueryRowContext(t.Context(), ofCampaign, o.bound["CAMPAIGN"]).Scan(&runs)
		if err != nil || runs != want {
			t.Errorf("%s: %d runs of the campaign, want %d: %v", name, runs, want, err)
		}
	}
}

// operating is somebody who works through the pages.
type operating struct {
	*testing.T
	*world
	dir     string
	tool    string // where nats is, empty where it was not built
	service *program
	bound   map[string]string
}

// prepare gives the variables of the pages their values, and the shell the repository's files.
func (o *operating) prepare() {
	o.Helper()
	deploy, err := filepath.Abs("../../deploy")
	if err == nil {
		err = os.Symlink(deploy, filepath.Join(o.dir, "deploy"))
	}
	if err != nil {
		o.Fatal(err)
	}
	database := o.environ["DATABASE_URL"]
	now := time.Now().UTC()
	lite := o.onSQLite(o.T) // whose file is backed up
	o.bound = map[string]string{"ADMIN_URL": database, "DATABASE_URL_DIRECT": database, "DRILL": o.postgres.CreateDatabase(o.T),
		"EVENTS": "2000", "FROM": now.Add(-time.Hour).Format(time.RFC3339), "TO": now.Add(time.Hour).Format(time.RFC3339),
		"DATA_DIR": lite.environ["DATA_DIR"], "CAMPAIGN": runbookLoad.At(0).CampaignID, "SUBJECT": events.EncodeToken(runbookLoad.At(0).CampaignID)}
}

// notHere are the beginnings of lines that are not run, and why.
var notHere = map[string]string{
	"go run golang.org/x/vuln": "it is not among the tools of the checks",
}

// do runs a line, which must end well or, as dry runs and comparisons do, with differences.
func (o *operating) do(page, line string) {
	o.Helper()
	if settings, is := strings.CutPrefix(line, "export "); is {
		for _, set := range setName.FindAllStringSubmatch(settings, -1) {
			if _, bound := o.bound[set[1]]; !bound {
				o.Errorf("%s: %s: nobody says what %s is", page, line, set[1])
			}
		}
		return
	}
	for beginning, reason := range notHere {
		if strings.HasPrefix(line, beginning) {
			o.Logf("%s: not run, %s: %s", page, reason, line)
			return
		}
	}
	path := filepath.Dir(o.binary) + ":" + o.tool + ":" + os.Getenv("PATH")
	program := strings.Fields(line)[0]
	if !strings.Contains(program, "=") && program != "runmetrics" && !(program == "nats" && o.tool != "") {
		if _, err := exec.LookPath(program); err != nil {
			o.Logf("%s: not run, %s is not installed: %s", page, program, line)
			return
		}
	}
	shell := exec.CommandContext(o.Context(), "sh", "-c", strings.ReplaceAll(line, "http://localhost:8080", o.service.api))
	shell.Dir = o.dir
	shell.Env = []string{"PATH=" + path, "HOME=" + o.dir, "LANG=C.UTF-8"}
	for _, variables := range []map[string]string{o.environ, o.bound} {
		for name, value := range variables {
			shell.Env = append(shell.Env, name+"="+value)
		}
	}
	said, err := shell.CombinedOutput()
	if code := shell.ProcessState.ExitCode(); err != nil && code != exitLeftovers {
		o.Fatalf("%s: %s\nends with %d: %s", page, line, code, said)
	}
	o.Logf("$ %s\n%s", line, said[:min(len(said), 1500)])
}

var (
	capitals = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	setName  = regexp.MustCompile(`(?:^| )([A-Z_]+)=`)
	pageLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	ownCall  = regexp.MustCompile("`(?:runmetrics )?((?:setup|run|doctor|replay|rebuild|prune|export|keys|publish|deadletters|void|dataverse)(?: [a-z]+)*)( --[^`]*)`")
)

// notVariables are names in capitals that are no variables of the program.
var notVariables = []string{"RUN_EVENTS", "ADMIN_URL", "ON_ERROR_STOP", "OTEL_EXPORTER_OTLP_HEADERS"}

// TestOperatorsPagesNameWhatThereIs looks at variables, flags, tests, files and headings that the pages name.
func TestOperatorsPagesNameWhatThereIs(t *testing.T) {
	t.Parallel()
	variables := slices.Clone(notVariables)
	for field := range fields() {
		variables = append(variables, field.Tag.Get("env"))
	}
	tests := readTests(t)
	for _, page := range []string{operatorsPage, securityPage} {
		text := readFile(t, page)
		for _, name := range capitals.FindAllString(text, -1) {
			if !slices.Contains(variables, strings.TrimSuffix(name, "_FILE")) && !slices.Contains(variables, name) {
				t.Errorf("%s names %s, which is no variable", page, name)
			}
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(text, -1) {
			if !strings.Contains(tests, "func "+name+"(") {
				t.Errorf("%s names %s, which is no test", page, name)
			}
		}
		for _, link := range pageLink.FindAllStringSubmatch(text, -1) {
			if err := linksTo(page, link[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, shown := range ownCall.FindAllStringSubmatch(text, -1) {
			help := call(t, nil, "", append(strings.Fields(shown[1]), "--help")...).stdout
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(shown[2], -1) {
				if !strings.Contains(help, flag+" ") {
					t.Errorf("%s: %s has no flag %s", page, shown[1], flag)
				}
			}
		}
		if lines := strings.Count(text, "\n"); lines > 300 {
			t.Errorf("%s has %d lines", page, lines)
		}
	}
}

// readTests is all code of tests in the repository.
func readTests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			all.WriteString(readFile(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// linksTo tells whether there is a file, and a heading in it, that a page links to.
func linksTo(page, link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "" {
		return err
	}
	path := page
	if u.Path != "" {
		path = filepath.Join(filepath.Dir(page), u.Path)
	}
	text, err := os.ReadFile(path)
	if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
		return nil
	}
	if err != nil || u.Fragment == "" {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if heading, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") && anchor(heading) == u.Fragment {
			return nil
		}
	}
	return fmt.Errorf("%s has no heading %s", path, u.Fragment)
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(heading))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}
