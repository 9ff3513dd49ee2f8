package main

import (
	"os"
	"testing"
)

const studioDir = "../../query/studio"

// copyStudio copies the files for Studio to where they may be compiled.
func copyStudio(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(studioDir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installStudio returns the directory of the modules without what only a build of Next.js needs.
func installStudio(t *testing.T) (modules string) {
	t.Helper()
	return installModules(t, "studio", studioDir, "--omit=optional")
}
