//go:build !linux

package sinktest

import "syscall"

// processAttributes cannot tie the child's life to ours here, nor start it as somebody else: tests run as an ordinary user.
func processAttributes(*account, syscall.Signal) *syscall.SysProcAttr { return nil }
