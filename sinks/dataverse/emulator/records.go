package emulator

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// The kinds of changes in a journal. They are in files: never renumber them.
const (
	recordDefinition = 'D' // JSON
	recordRow        = 'R' // table, id, version, cells
	recordDeletion   = 'X' // table, id
)

// newFrame is a frame without changes.
func newFrame(version int64) []byte { return binary.AppendVarint(make([]byte, frameHead), version) }

func appendChange(b []byte, c change) []byte {
	switch {
	case c.newDefinition != nil:
		encoded, err := json.Marshal(c.newDefinition)
		if err != nil {
			panic("emulator: a definition is no JSON: " + err.Error())
		}
		return appendBytes(append(b, recordDefinition), string(encoded))
	case c.after == nil:
		b = appendBytes(append(b, recordDeletion), c.table.LogicalName)
		return append(b, c.before.id[:]...)
	}
	b = appendBytes(append(b, recordRow), c.table.LogicalName)
	b = append(b, c.after.id[:]...)
	b = binary.AppendVarint(b, c.after.version)
	return appendBytes(b, c.after.cells)
}

func appendBytes(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// apply makes the changes of a frame.
func (j *journal) apply(d *data, frame []byte) error {
	in := &recordReader{rest: string(frame)}
	d.version = max(d.version, in.varint())
	for in.rest != "" && !in.failed {
		kind := in.take(1)
		j.records++
		if kind == string(recordDefinition) {
			if err := d.applyDefinition(in.text()); err != nil {
				return err
			}
			continue
		}
		t := d.tables[in.text()]
		if t == nil {
			return errors.New("a row of a table that is not there")
		}
		id, _ := uuid.FromBytes([]byte(in.take(16)))
		before := t.row(id)
		switch kind {
		case string(recordRow):
			t.swap(before, &row{id: id, version: in.varint(), cells: strings.Clone(in.text())}) // not to keep the frame
		case string(recordDeletion):
			if before != nil {
				t.swap(before, nil)
			}
		default:
			return fmt.Errorf("a change of unknown kind %q", kind)
		}
	}
	if in.failed {
		return errors.New("a change that ends too early")
	}
	return nil
}

func (d *data) applyDefinition(encoded string) error {
	definition := &definition{}
	if err := json.Unmarshal([]byte(encoded), definition); err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	t := d.tables[definition.LogicalName]
	if t == nil {
		t = newTable(definition)
	}
	d.define(t, definition)
	return nil
}

// recordReader takes a frame apart. After a failure it returns zeros.
type recordReader struct {
	rest   string
	failed bool
}

func (r *recordReader) take(n int) string {
	if n < 0 || n > len(r.rest) {
		r.failed = true
		r.rest = ""
		return string(make([]byte, min(max(n, 0), 16)))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *recordReader) varint() int64 {
	v, n := varint(r.rest)
	r.take(n)
	return v
}

func (r *recordReader) text() string {
	length, n := uvarint(r.rest)
	r.take(n)
	return r.take(int(length))
}
