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

// dirLock holds DATA_DIR for this process. The kernel frees it when the process ends, however it ends, so a lock file
// that is left behind means nothing.
type dirLock struct {
	file *os.File
}

// lockDir makes the directory where there is none and takes it. Two processes on one directory would write the same
// JetStream files; the error names the one that has it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, "runmetrics.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock DATA_DIR: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("DATA_DIR %s is in use by %s; stop it, or set DATA_DIR to another directory", dir, holder(path))
		}
		return nil, fmt.Errorf("lock DATA_DIR %s: %w", dir, err)
	}
	if err := writePid(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock DATA_DIR %s: %w", dir, err)
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
