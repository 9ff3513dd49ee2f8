package main

import (
	"errors"
	"strconv"
	"strings"
)

// byteSize is a flag that takes a number of bytes with an optional unit: 500MB, 2GiB.
type byteSize int64

// byteUnits are tried in this order: B ends all the others.
var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set reads the flag.
func (b *byteSize) Set(s string) error {
	number, unit := strings.ToUpper(strings.TrimSpace(s)), int64(1)
	for _, u := range byteUnits {
		if rest, found := strings.CutSuffix(number, u.suffix); found {
			number, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 1 || n > (1<<62)/unit {
		return errors.New("must be a size such as 500MB or 2GiB")
	}
	*b = byteSize(n * unit)
	return nil
}

// String is the number of bytes, empty where nothing was set.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Type names the flag's values in the help.
func (b *byteSize) Type() string { return "size" }
