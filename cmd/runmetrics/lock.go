package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock holds a directory, mostly DATA_DIR, for this process. The kernel frees it when the process ends, however it ends, so a lock file
// that is left behind means nothing.
type dirLock struct {
	file *os.File
}

// lockDir makes the directory where there is none and takes it. Two processes on one directory would write the same
// files; the error names the one that has it, and the setting that names the directory.
func lockDir(dir, setting string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", setting, err)
	}
	path := filepath.Join(dir, "runmetrics.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", setting, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s %s is in use by %s; stop it, or set %[1]s to another directory", setting, dir, holder(path))
		}
		return nil, fmt.Errorf("lock %s %s: %w", setting, dir, err)
	}
	if err := writePid(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s %s: %w", setting, dir, err)
	}
	return &dirLock{file: file}, nil
}

// Release gives the directory back. The file stays: removing it would let two processes lock two files of one name.
func (l *dirLock) Release() error { return l.file.Close() }

func writePid(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder names the process in the lock file. It may not have written its id yet.
func holder(path string) string {
	text, _ := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); pid != "" {
		return "process " + pid
	}
	return "another process"
}
