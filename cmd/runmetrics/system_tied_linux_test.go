package main

import (
	"os/exec"
	"syscall"
)

// tie makes a process die with the thread that starts it, even where a panic leaves no time to clean up.
func tie(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
