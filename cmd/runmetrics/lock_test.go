package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockKeepsASecondProcessOutAndNamesTheFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	first, err := lockDir(dir, "DATA_DIR")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockDir(dir, "DATA_DIR")
	if err == nil {
		t.Fatal("two locks on one directory")
	}
	for _, part := range []string{"DATA_DIR", dir, fmt.Sprintf("process %d", os.Getpid())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir, "DATA_DIR")
	if err != nil {
		t.Fatalf("a lock that was released: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockSaysWhyADirectoryCannotBeUsed(t *testing.T) {
	t.Parallel()
	if _, err := lockDir(filepath.Join(writeFile(t, "a file"), "data"), "DATA_DIR"); err == nil || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Errorf("says %v", err)
	}
}
