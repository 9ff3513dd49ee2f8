package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// leastFree is how much a disk must have free for a database file or a stream to go on.
	leastFree = 100_000_000
	// fewFree is how much lets somebody act in time. Commits take about 200 bytes for each execution.
	fewFree = 1_000_000_000
)

// examineDisk looks where files of this program lie. Temporary ones only some commands need.
func (d *doctor) examineDisk(context.Context) {
	if !d.cfg.NATSURL.IsSet() || !d.cfg.DatabaseURL.IsSet() {
		d.examineDir(d.fail, "DATA_DIR", d.cfg.DataDir, "make room there, or set DATA_DIR to a directory on a "+
			"larger disk and move its files")
	}
	d.examineDir(d.warn, "TMPDIR", os.TempDir(), "make room there, or set TMPDIR to a directory on a larger disk: "+
		"runmetrics replay keeps there what does not fit its memory")
}

// examineDir says how much is free on the disk of a directory, and notes as worst where it is of no use. A directory that is
// not there yet is made where its parent is.
func (d *doctor) examineDir(worst func(area, subject, finding, fix string), name, dir, fix string) {
	at, err := nearest(dir)
	if err != nil {
		worst(areaDisk, name, err.Error(), "set "+name+" to a directory that this user may read and write")
		return
	}
	free, whole, err := diskRoom(at)
	if err != nil {
		worst(areaDisk, name, err.Error(), "")
		return
	}
	if err := syscall.Access(at, mayWrite); err != nil {
		worst(areaDisk, name, fmt.Sprintf("this user, %d, may not write to %s: %v", os.Getuid(), at, err),
			fmt.Sprintf("`chown -R %d:%d %s`, or set %s to a directory that this user may write to", os.Getuid(),
				os.Getgid(), at, name))
		return
	}
	if kind := networkDisk(at); kind != "" && name == "DATA_DIR" {
		d.warn(areaDisk, name, dir+" lies on "+kind+", a disk of the network: locks and syncs are not to be "+
			"relied upon there",
			"set DATA_DIR to a directory on a disk of this machine, or DATABASE_URL and NATS_URL to servers")
	}
	finding := fmt.Sprintf("%s has %s of %s free", dir, bytesText(free), bytesText(whole))
	switch {
	case free < leastFree:
		worst(areaDisk, name, finding+": soon nothing can be stored there", fix)
	case free < fewFree:
		d.warn(areaDisk, name, finding, fix)
	default:
		d.ok(areaDisk, name, finding)
	}
}

// nearest is the directory, or the next one above it that is there.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", dir)
		case err == nil:
			return dir, nil
		case !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir:
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// diskRoom is how many bytes the disk of a directory has free for this user, and how many it has.
func diskRoom(dir string) (free, whole int64, err error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return int64(disk.Bavail) * int64(disk.Bsize), int64(disk.Blocks) * int64(disk.Bsize), nil
}

// mayWrite asks access(2) for writing and passing through.
const mayWrite = 2 | 1

// bytesText is a size for people, in the units of --max-bytes.
func bytesText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	size, unit := float64(n), 0
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if size >= 10 || unit == 0 {
		return fmt.Sprintf("%.0f %s", size, units[unit])
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
