package main

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

const publishersDir = "../../testdata/publishers"

// installingPublishers lets the first of the tests that need the modules install them, and the others wait for it.
var installingPublishers sync.Mutex

// copyPublishers copies what is tried with npm's packages, and gives the copy the modules that the lock names.
func copyPublishers(t *testing.T) (dir string) {
	t.Helper()
	installingPublishers.Lock()
	defer installingPublishers.Unlock()
	modules := installModules(t, "publishers", publishersDir)
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(publishersDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}
