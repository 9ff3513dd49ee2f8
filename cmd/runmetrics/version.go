package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
)

// module is what this program is part of, by which what it measures and traces is known.
const module = "github.com/apexsalesai/runmetrics"

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of program, contract and Go",
		Long:    `version prints the program's version, the version of the event contract that it speaks, and what it was built with.`,
		Example: `  runmetrics version`,
		Args:    cobra.NoArgs,
		RunE: a.enter(func(context.Context, []string) error {
			_, err := fmt.Fprintf(a.stdout, "runmetrics %s\nevent contract %d\n%s %s/%s\n",
				version(), events.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		}),
	}
}

// version is the module's version where it was installed as one, else the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "devel-" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}
