package query

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// followTime is how often followed files are read. What they hold is taken when it was read twice: a file that is being
// written is not taken half. So a change is in use after twice this time at most.
const followTime = 2 * time.Second

// maxFollowed bounds what is read of a file.
const maxFollowed = 1 << 20

// follow reads files again and again until the context ends, and gives take what they hold each time it changed from what
// has the digest. An error of take, or of reading, is logged once and changes nothing.
func follow(ctx context.Context, log *slog.Logger, digest [sha256.Size]byte, take func(contents [][]byte) error, paths ...string) {
	tick := time.NewTicker(followTime)
	defer tick.Stop()
	known, before := digest, digest
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		contents, err := readFiles(paths)
		now := digestOf(contents, err)
		settled := now == before
		before = now
		if !settled || now == known {
			continue
		}
		known = now
		if err == nil {
			err = take(contents)
		}
		if err != nil {
			log.Warn("changed files are not taken; what they held before stays in use", "files", paths, "error", err)
		} else {
			log.Info("changed files are in use", "files", paths)
		}
	}
}

// readFiles reads small files.
func readFiles(paths []string) ([][]byte, error) {
	contents := make([][]byte, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		} else if info.Size() > maxFollowed {
			return nil, fmt.Errorf("read file %s: it has over %d bytes", path, maxFollowed)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		contents[i] = content
	}
	return contents, nil
}

// digestOf tells contents, or reasons why there are none, apart.
func digestOf(contents [][]byte, err error) [sha256.Size]byte {
	h := sha256.New()
	if err != nil {
		fmt.Fprint(h, "error ", err)
	}
	for _, content := range contents {
		part := sha256.Sum256(content)
		h.Write(part[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
