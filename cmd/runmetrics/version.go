package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
)

// module is what this program is part of, by which what it measures and traces is known.
const module = "github.com/apexsalesai/runmetrics"

// What a build without a repository beside it is told, as the Dockerfile does:
// go build -ldflags "-X main.givenVersion=v1.4.0 -X main.givenRevision=3f2a… -X main.givenTime=2026-11-26T10:00:00Z".
// All three may be empty.
var givenVersion, givenRevision, givenTime string

// unknown stands for what neither the repository nor who built the program said.
const unknown = "unknown"

// build is what a program was built from, and with what. It is the one source of what --version, /metrics, /openapi.json
// and the panel say.
type build struct {
	Version       string `json:"version"`    // as given; else the module's as Go makes it of tags and commits; else devel
	Revision      string `json:"revision"`   // the commit, or unknown
	CommitTime    string `json:"commitTime"` // RFC 3339, or unknown
	Dirty         bool   `json:"dirty"`      // there were changes beside the commit, as far as is known
	GoVersion     string `json:"goVersion"`
	Platform      string `json:"platform"`
	EventContract int    `json:"eventContract"`
}

// buildInfo tells of this program.
func buildInfo() build {
	stamp, ok := debug.ReadBuildInfo()
	if !ok {
		stamp = new(debug.BuildInfo)
	}
	given := build{Version: givenVersion, Revision: givenRevision, CommitTime: givenTime,
		GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, EventContract: events.Version}
	return given.complete(stamp)
}

// complete fills in what Go found in the repository. What was given goes before it.
func (b build) complete(stamp *debug.BuildInfo) build {
	if v := stamp.Main.Version; b.Version == "" && v != "(devel)" {
		b.Version = v
	}
	if b.Revision == "" {
		for _, setting := range stamp.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Revision = setting.Value
			case "vcs.time":
				b.CommitTime = setting.Value
			case "vcs.modified":
				b.Dirty = setting.Value == "true"
			}
		}
	}
	b.Version, b.Revision = cmp.Or(b.Version, "devel"), cmp.Or(b.Revision, unknown)
	b.CommitTime = cmp.Or(b.CommitTime, unknown)
	b.Dirty = b.Dirty || strings.HasSuffix(b.Version, "dirty") // as Go and git describe end it
	return b
}

// version is the version of this program.
func version() string { return buildInfo().Version }

// String is what --version prints.
func (b build) String() string {
	commit := b.Revision
	if b.CommitTime != unknown {
		commit += " of " + b.CommitTime
	}
	if b.Dirty {
		commit += ", with changes"
	}
	return fmt.Sprintf("runmetrics %s\ncommit %s\nevent contract %d\n%s %s\n",
		b.Version, commit, b.EventContract, b.GoVersion, b.Platform)
}

func (a *app) version() *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of program, contract and Go",
		Long: `version prints the program's version, the commit that it was built from, the version of the event contract that it
speaks, and what it was built with. runmetrics_build_info in /metrics, /openapi.json and the panel show the same version.`,
		Example: `  runmetrics version
  runmetrics version --output json`,
		Args: cobra.NoArgs,
		RunE: a.enter(func(context.Context, []string) error {
			if output == jsonOutput {
				return writeJSON(a.stdout, buildInfo())
			}
			_, err := io.WriteString(a.stdout, buildInfo().String())
			return err
		}),
	}
	outputFlag(cmd, &output)
	return cmd
}
