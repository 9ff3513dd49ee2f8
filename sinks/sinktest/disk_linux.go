package sinktest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// SmallDisk mounts a disk of so many bytes, on which a Postgres server of this package may keep a tablespace, until the
// test ends. An error says why this machine does not let it: most let only root mount.
func SmallDisk(t testing.TB, bytes int64) (dir string, err error) {
	t.Helper()
	a, err := serverAccount()
	if err != nil {
		return "", err
	}
	if a == nil {
		return "", errors.New("only root may mount a disk")
	}
	if dir, err = serverDir(a); err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	options := fmt.Sprintf("size=%d,mode=0700,uid=%d,gid=%d", bytes, a.uid, a.gid)
	if err := syscall.Mount("runmetrics", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, options); err != nil {
		return "", fmt.Errorf("mount a disk: %w", err)
	}
	t.Cleanup(func() {
		// Lazily, because a server may still have files open.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount a disk: %v", err)
		}
	})
	return dir, nil
}
