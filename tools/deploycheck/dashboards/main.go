// Command dashboards decodes Grafana dashboards, with their panels and queries, into Grafana's own types. A field that those do
// not have is a fault: Grafana itself would silently leave it out. Each fault is a line on stderr, and the exit code 1.
//
//	dashboards FILE...
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	faulty := len(os.Args) < 2
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err == nil {
			err = new(dashboard.Dashboard).UnmarshalJSONStrict(text)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			faulty = true
		}
	}
	if faulty {
		os.Exit(1)
	}
}
