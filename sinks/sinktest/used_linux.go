package sinktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// OwnTime is the processor time that this process has used so far.
func OwnTime(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// ProcessorTime is what the server has used so far, with all its processes: the children that ended count for the parent
// that waited for them, those that live for themselves.
func (s *PostgresServer) ProcessorTime(tb testing.TB) time.Duration {
	tb.Helper()
	parent := s.process.Pid
	total, err := processorTime(parent, true)
	if err != nil {
		tb.Fatal(err)
	}
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if used, err := childTime(pid, parent); err == nil { // else it has ended meanwhile
			total += used
		}
	}
	return total
}

// childTime is 0 where the process is not a child of the parent.
func childTime(pid, parent int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil || fields[statParent] != strconv.Itoa(parent) {
		return 0, err
	}
	return processorTime(pid, false)
}

// Places in /proc/<pid>/stat behind the name, see proc(5).
const (
	statParent = 1
	statUser   = 11 // followed by system, and both of the children that were waited for; hundredths of a second
	statFields = 15 // at least
)

func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name stands in brackets and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < statFields {
		return nil, fmt.Errorf("read /proc/%d/stat: only %d fields", pid, len(fields))
	}
	return fields, nil
}

func processorTime(pid int, children bool) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	n := 2
	if children {
		n = 4
	}
	var total time.Duration
	for _, f := range fields[statUser : statUser+n] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total, nil
}
