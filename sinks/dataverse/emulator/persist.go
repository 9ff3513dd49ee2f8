package emulator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
)

// journal is the file in which an organisation is kept: a line that says so, then one frame for each transaction, which
// is its length, its checksum and its changes. A transaction is in the hands of the operating system before its request
// is answered, so it survives the end of the process; a power failure may lose the last ones. What is half written at the
// end is cut off when the file is opened. When most of it is outdated the file is written anew.
type journal struct {
	dir     string
	log     *slog.Logger
	file    *os.File
	end     int64 // of the last whole transaction
	records int   // changes in the file
}

const (
	journalName  = "emulator.journal"
	journalMagic = "runmetrics dataverse emulator 1\n"
	// spare is how many outdated changes a journal may have whatever its size.
	spare = 50_000
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

// open reads the journal of a directory, or makes it.
func (d *data) open(dir string, log *slog.Logger) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	j := &journal{dir: dir, log: log}
	if j.file, err = os.OpenFile(filepath.Join(dir, journalName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.file.Close())
		}
	}()
	lost, err := j.load(d)
	if err != nil {
		return err
	}
	if lost > 0 {
		log.Warn("dataverse emulator cut off a transaction that was not written to its end", "bytes", lost)
	}
	d.journal = j
	j.compactIfDue(d)
	return nil
}

// load applies all transactions, and cuts off what is half written behind them.
func (j *journal) load(d *data) (lost int64, err error) {
	info, err := j.file.Stat()
	if err != nil {
		return 0, err
	}
	in := bufio.NewReaderSize(j.file, 1<<20)
	magic := make([]byte, len(journalMagic))
	n, err := io.ReadFull(in, magic)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	case string(magic[:n]) != journalMagic[:n]:
		return 0, fmt.Errorf("%s is not a journal of this emulator", j.file.Name())
	case n < len(magic): // new, or killed at its first line
		return 0, j.begin()
	}
	j.end = int64(len(journalMagic))
	for {
		frame, err := readFrame(in, info.Size()-j.end)
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return info.Size() - j.end, j.file.Truncate(j.end)
		}
		if err == nil {
			err = j.apply(d, frame)
		}
		if err != nil {
			return 0, fmt.Errorf("%s is damaged at byte %d: %w", j.file.Name(), j.end, err)
		}
		j.end += int64(frameHead + len(frame))
	}
}

// begin makes an empty journal.
func (j *journal) begin() error {
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	n, err := j.file.WriteAt([]byte(journalMagic), 0)
	j.end = int64(n)
	return err
}

// frameSize is from how many bytes on a frame of a journal that is written anew is full.
const frameSize = 1 << 20

// frameHead is length and checksum of a frame.
const frameHead = 8

// readFrame returns the content of the next frame. A frame that reaches beyond the end of the file, or has a wrong
// checksum and nothing behind it, is io.ErrUnexpectedEOF.
func readFrame(in io.Reader, left int64) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(head[:]))
	if left -= frameHead; length > left {
		return nil, io.ErrUnexpectedEOF
	}
	frame := make([]byte, length)
	if _, err := io.ReadFull(in, frame); err != nil {
		return nil, err
	}
	switch {
	case crc32.Checksum(frame, checksums) == binary.LittleEndian.Uint32(head[4:]):
		return frame, nil
	case length == left:
		return nil, io.ErrUnexpectedEOF
	}
	return nil, errors.New("wrong checksum")
}

// write appends a transaction. A journal that is nil keeps nothing.
func (j *journal) write(d *data, changes []change) error {
	if j == nil || len(changes) == 0 {
		return nil
	}
	if j.file == nil {
		return os.ErrClosed
	}
	frame := newFrame(d.version)
	for _, c := range changes {
		frame = appendChange(frame, c)
	}
	if err := j.append(frame, len(changes)); err != nil {
		return err
	}
	j.compactIfDue(d)
	return nil
}

// append writes a frame. Where that fails the file is as before.
func (j *journal) append(frame []byte, changes int) error {
	if uint64(len(frame)-frameHead) > math.MaxUint32 {
		return errors.New("a transaction of more than 4 GiB")
	}
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(frame[frameHead:], checksums))
	if n, err := j.file.WriteAt(frame, j.end); err != nil {
		if n > 0 {
			err = errors.Join(err, j.file.Truncate(j.end))
		}
		return err
	}
	j.end += int64(len(frame))
	j.records += changes
	return nil
}

// compactIfDue writes the journal anew when most of its changes are outdated. Where that fails the old one goes on.
func (j *journal) compactIfDue(d *data) {
	needed := 0
	for _, t := range d.tables {
		needed += 1 + t.rows.size
	}
	if j.records <= 2*needed+spare {
		return
	}
	if err := j.compact(d); err != nil {
		j.records = 0 // not again with each transaction
		j.log.Error("dataverse emulator cannot write its journal anew", "error", err)
	}
}

func (j *journal) compact(d *data) (err error) {
	fresh := &journal{dir: j.dir, log: j.log}
	path := filepath.Join(j.dir, journalName)
	if fresh.file, err = os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	err = errors.Join(fresh.begin(), fresh.snapshot(d))
	if err == nil {
		err = errors.Join(fresh.file.Sync(), os.Rename(path+".new", path))
	}
	if err != nil {
		return errors.Join(err, fresh.file.Close())
	}
	_ = j.file.Close() // nothing of it is needed any more
	*j = *fresh
	return syncDir(j.dir)
}

// syncDir writes to the disk which files a directory has.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// snapshot writes everything.
func (j *journal) snapshot(d *data) error {
	for _, t := range d.inNameOrder() {
		frame := appendChange(newFrame(d.version), change{newDefinition: t.definition})
		if err := j.append(frame, 1); err != nil {
			return err
		}
		if err := j.appendRows(d, t); err != nil {
			return err
		}
	}
	return nil
}

// appendRows writes all rows of a table.
func (j *journal) appendRows(d *data, t *table) error {
	frame, rows := newFrame(d.version), 0
	for r := range t.rows.after(nil) {
		frame = appendChange(frame, change{table: t, after: r})
		if rows++; len(frame) < frameSize {
			continue
		}
		if err := j.append(frame, rows); err != nil {
			return err
		}
		frame, rows = newFrame(d.version), 0
	}
	return j.append(frame, rows)
}

// close writes to the disk what the operating system holds, and ends the journal.
func (d *data) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.journal == nil || d.journal.file == nil {
		return nil
	}
	file := d.journal.file
	d.journal.file = nil
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("close emulator: %w", err)
	}
	return nil
}
