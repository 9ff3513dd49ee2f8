// Command dashboards decodes Grafana dashboards, with their panels and queries, into Grafana's own types. A field that those do
// not have is a fault: Grafana itself would silently leave it out. Each fault is a line on stderr, and the exit code 1.
//
//	dashboards FILE...
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	faulty := len(os.Args) < 2
	for _, file := range os.Args[1:] {
		if err := decode(file); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			faulty = true
		}
	}
	if faulty {
		os.Exit(1)
	}
}

func decode(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	//lint:ignore SA1019 files for provisioning hold the model that Grafana calls classic
	err = new(dashboard.Dashboard).UnmarshalJSONStrict(text)
	var faults cog.BuildErrors
	if errors.As(err, &faults) && len(faults) == 0 {
		return nil // the decoder returns its list even where that is empty
	}
	return err
}
