package sinks

import (
	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Loader folds what a store reads for Load, row by row and in any order. It is for one goroutine.
type Loader struct {
	ids   []uuid.UUID
	names map[uuid.UUID]events.Key
	runs  map[uuid.UUID]StoredRun
}

// NewLoader begins with nothing read of the runs.
func NewLoader(runs []events.Key) *Loader {
	l := &Loader{names: make(map[uuid.UUID]events.Key, len(runs)), runs: make(map[uuid.UUID]StoredRun, len(runs))}
	for _, key := range runs {
		id := key.UUID()
		l.ids, l.names[id] = append(l.ids, id), key
	}
	return l
}

// IDs are the keys of the runs, in their order.
func (l *Loader) IDs() []uuid.UUID { return l.ids }

// StoredRow is what Load reads of a run: its row, joined with the events of one commit.
type StoredRow struct {
	Run      uuid.UUID
	Recorded int64 // version of the run's row, 0 without one
	Sealed   bool
	Version  int64  // of the events, 0 without any
	Chunk    []byte // as AppendChunk wrote them; not kept
	There    bool   // the stream stands where Load was told
}

// Add takes in a row. A chunk that cannot be read is ErrBlocked: somebody changed the table by hand.
func (l *Loader) Add(row *StoredRow) error {
	if !row.There {
		return ErrPositionMoved
	}
	key := l.names[row.Run]
	stored, seen := l.runs[row.Run]
	if !seen {
		stored = StoredRun{Run: aggregate.NewRun(key), Version: row.Recorded, Sealed: row.Sealed}
	}
	if row.Recorded == 0 {
		stored.Version = max(stored.Version, row.Version)
	}
	l.runs[row.Run] = stored
	if row.Chunk == nil {
		return nil
	}
	err := VisitChunk(key, row.Chunk, func(e *events.Event) error {
		stored.Run.Apply(e)
		return nil
	})
	stored.Run.TakeLatencyChanges() // they are stored: the next commit's begin here
	return err
}

// Runs are those of which there was a row.
func (l *Loader) Runs() map[uuid.UUID]StoredRun { return l.runs }
