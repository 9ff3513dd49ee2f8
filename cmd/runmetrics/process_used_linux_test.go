package main

import (
	"bytes"
	"encoding/json"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// used is the processor time that the process has used so far.
func (p *program) used(b *testing.B) time.Duration {
	b.Helper()
	clock := int32(^p.command.Process.Pid)<<3 | 2 // how Linux numbers the clocks of processes, see clock_getcpuclockid(3)
	var now syscall.Timespec
	if _, _, failed := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&now)), 0); failed != 0 {
		b.Fatalf("processor time of %v: %v", p.command.Args, failed)
	}
	return time.Duration(now.Nano())
}

// usedBy is what the processes of a deployment have used so far, by row.
func (d deployment) usedBy(b *testing.B, p *program) map[string]time.Duration {
	b.Helper()
	all := map[string]time.Duration{rowService: p.used(b)}
	for row, used := range d.beside {
		all[row] = used()
	}
	return all
}

// addUsed adds what was used between two looks, in seconds for a million events.
func (m measures) addUsed(before, after map[string]time.Duration, events uint64) {
	var together time.Duration
	add := func(row string, used time.Duration) { m.add(row, used.Seconds()*1e6/float64(events)) }
	for row, used := range after {
		add(row, used-before[row])
		together += used - before[row]
	}
	add(rowTogether, together)
}

// logged is when the program first logged a message.
func (p *program) logged(b *testing.B, message string) time.Time {
	b.Helper()
	for line := range bytes.Lines([]byte(p.stderr.String())) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal(line, &record) == nil && record.Msg == message {
			return record.Time
		}
	}
	b.Fatalf("%v did not log %q: %s", p.command.Args, message, p.stderr.String())
	return time.Time{}
}
