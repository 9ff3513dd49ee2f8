//go:build !linux

package sinktest

import (
	"errors"
	"testing"
)

// SmallDisk is an error here: how to mount a disk differs from system to system.
func SmallDisk(testing.TB, int64) (dir string, err error) {
	return "", errors.New("only on Linux can a small disk be mounted")
}
