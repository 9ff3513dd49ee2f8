package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// A spool sorts events into parts by their run, in a file: all events of a run are in one part, in the order of their
// arrival, and one part fits into memory however interleaved the runs of a stream are.
//
// The file has no name, so that nothing is left of it when the process dies. Its blocks each belong to one part; which
// ones is held in memory.
type spool struct {
	file  *os.File
	size  int64
	parts []part
	spare []byte
}

// part is one share of the runs.
type part struct {
	open   []byte // not written yet
	blocks []span // in the file
	bytes  int64
}

// span is a stretch of a file or of a slice.
type span struct{ from, length int64 }

const (
	// blockBytes is how much of a part is written at a time.
	blockBytes = 32 << 10
	// partBytes is how big a part should become.
	partBytes = 4 << 20
	// maxParts bounds the memory of open blocks to 32 MiB.
	maxParts = 1024
)

// partsFor is how many parts a spool needs for sources of about so many bytes.
func partsFor(bytes int64) int { return int(min(max(bytes/partBytes, 1), maxParts)) }

// newSpool makes an empty one in the directory for temporary files.
func newSpool(parts int) (*spool, error) {
	file, err := os.CreateTemp("", "runmetrics-replay-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w; set TMPDIR to a directory that can be written", err)
	}
	s := &spool{file: file, parts: make([]part, parts)}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("hide the temporary file: %w", err), s.close())
	}
	return s, nil
}

func (s *spool) close() error { return s.file.Close() }

// add puts an event of a source behind those of its run.
func (s *spool) add(source int, r *Record) error {
	b := appendNames(s.spare[:0], r.Event.Key)
	names := len(b)
	b = append(b, byte(source))
	b = binary.AppendVarint(b, nanos(r.Time))
	b = binary.AppendVarint(b, r.Event.OccurredAt.UnixMicro())
	b = sinks.AppendChunk(b, []*events.Event{&r.Event})
	s.spare = b
	p := &s.parts[partOf(b[:names], len(s.parts))]
	p.open = binary.AppendUvarint(p.open, uint64(names))
	p.open = binary.AppendUvarint(p.open, uint64(len(b)))
	p.open = append(p.open, b...)
	if len(p.open) < blockBytes {
		return nil
	}
	return s.flush(p)
}

func (s *spool) flush(p *part) error {
	if _, err := s.file.WriteAt(p.open, s.size); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w; events are sorted by run on disk, about as many bytes as the stream has: set TMPDIR to a "+
				"directory with more room", err)
		}
		return fmt.Errorf("write temporary file: %w", err)
	}
	n := int64(len(p.open))
	p.blocks = append(p.blocks, span{s.size, n})
	p.bytes += n
	s.size += n
	p.open = p.open[:0]
	return nil
}

// read returns all of a part, in the memory of into where that is enough.
func (s *spool) read(at int, into []byte) ([]byte, error) {
	p := &s.parts[at]
	into = into[:0]
	for _, block := range p.blocks {
		from := len(into)
		into = append(into, make([]byte, block.length)...)
		if _, err := s.file.ReadAt(into[from:], block.from); err != nil {
			return nil, fmt.Errorf("read temporary file: %w", err)
		}
	}
	into = append(into, p.open...)
	p.open = nil
	return into, nil
}

// appendNames makes one text of a run's names, which hold no control character.
func appendNames(b []byte, key events.Key) []byte {
	b = append(append(b, key.CampaignID...), 0)
	b = append(append(b, key.RunID...), 0)
	return append(b, key.Phase...)
}

func namesOf(b []byte) events.Key {
	names := strings.SplitN(string(b), "\x00", 3)
	return events.Key{CampaignID: names[0], RunID: names[1], Phase: names[2]}
}

// partOf is the same in every process: a comparison that is resumed leaves out parts.
func partOf(names []byte, parts int) int {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range names {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return int((h >> 32) % uint64(parts)) // its low bits are weak
}

// nanos is a time since 1970, 0 for none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
