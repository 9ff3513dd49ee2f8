// Command deploycheck tells whether docker-compose.yml and the Kubernetes manifests of a tree are what those who read them take:
// Compose by its own loader, Kubernetes by its own types, where an unknown field is a fault. It also checks what those would
// not: that what is referred to is there, and that nothing is open or has rights that it does not need. Nothing is pulled,
// started or asked.
//
//	deploycheck DIR
//
// Each fault is a line on stderr, and the exit code 1. On stdout it prints, as JSON, how runmetrics is called and what is set
// for it, for the program's own tests to judge.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploycheck DIR")
		os.Exit(2)
	}
	r := &report{root: os.Args[1]}
	r.checkCompose()
	r.checkManifests()
	if err := r.print(); err != nil {
		fmt.Fprintln(os.Stderr, "deploycheck:", err)
		os.Exit(1)
	}
	if len(r.faults) > 0 {
		os.Exit(1)
	}
}

// report is what was found in a tree.
type report struct {
	root   string
	faults []string

	Calls    []call    `json:"calls"`
	Settings []setting `json:"settings"`
}

// call is how a container calls runmetrics.
type call struct {
	Where string   `json:"where"`
	Args  []string `json:"args"`
}

// setting is a variable of a container that runs runmetrics.
type setting struct {
	Where string  `json:"where"`
	Name  string  `json:"name"`
	Value *string `json:"value"` // nil where only those who deploy know it
}

func (r *report) fault(where, format string, args ...any) {
	fault := where + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(r.faults, fault) {
		r.faults = append(r.faults, fault)
	}
}

func (r *report) print() error {
	slices.SortFunc(r.Settings, func(a, b setting) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(r.Calls, func(a, b call) int { return cmp.Compare(a.Where, b.Where) })
	for _, fault := range r.faults {
		fmt.Fprintln(os.Stderr, fault)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// isPinned tells whether an image names its version: by a tag that does not wander, or a digest.
func isPinned(image string) bool {
	if strings.Contains(image, "@sha256:") {
		return true
	}
	_, tag, tagged := strings.Cut(path.Base(image), ":")
	return tagged && tag != "" && tag != "latest" && strings.ContainsAny(tag, "0123456789")
}
