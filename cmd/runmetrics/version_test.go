package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		r := call(t, nil, "", args...)
		r.want(t, exitOK)
		if !strings.HasPrefix(r.stdout, "runmetrics "+version()+"\n") || !strings.Contains(r.stdout, runtime.Version()) {
			t.Errorf("%v prints %q", args, r.stdout)
		}
	}
	r := call(t, nil, "", "version", "--output", "json")
	r.want(t, exitOK)
	var got build
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got != buildInfo() || got.EventContract != events.Version || got.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("prints %s", r.stdout)
	}
}

func TestBuildTellsWhatItWasGivenAndElseWhatGoFound(t *testing.T) {
	t.Parallel()
	stamped := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "3f2a"},
		{Key: "vcs.time", Value: "2026-11-26T10:00:00Z"}, {Key: "vcs.modified", Value: "true"}}}
	stamped.Main.Version = "v1.4.1-0.20261126100000-3f2a+dirty"
	bare := &debug.BuildInfo{}
	bare.Main.Version = "(devel)"
	for name, c := range map[string]struct {
		given build
		stamp *debug.BuildInfo
		want  build
	}{
		"nothing is known": {build{}, bare, build{Version: "devel", Revision: unknown, CommitTime: unknown}},
		"a repository": {build{}, stamped,
			build{Version: stamped.Main.Version, Revision: "3f2a", CommitTime: "2026-11-26T10:00:00Z", Dirty: true}},
		"given": {build{Version: "v2", Revision: "77aa", CommitTime: "2026-11-27T10:00:00Z"}, stamped,
			build{Version: "v2", Revision: "77aa", CommitTime: "2026-11-27T10:00:00Z"}},
		"a version alone": {build{Version: "v2"}, stamped,
			build{Version: "v2", Revision: "3f2a", CommitTime: "2026-11-26T10:00:00Z", Dirty: true}},
		"as git describes it": {build{Version: "v2-5-g77aa-dirty", Revision: "77aa"}, bare,
			build{Version: "v2-5-g77aa-dirty", Revision: "77aa", CommitTime: unknown, Dirty: true}},
	} {
		if got := c.given.complete(c.stamp); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
