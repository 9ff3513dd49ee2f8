package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The states of an alternate key. It can be used and is enforced when it is Active.
const (
	keyPending    = "Pending"
	keyInProgress = "InProgress"
	keyActive     = "Active"
	keyFailed     = "Failed"
)

// How long after its creation a key is still Pending, and when its index is done.
const (
	keyStarts = time.Second
	keyDone   = 2 * time.Second
)

// alternateKey is the definition of a key. It is kept on disk as JSON.
type alternateKey struct {
	MetadataID  uuid.UUID
	SchemaName  string
	LogicalName string
	Label       string
	Attributes  []string // logical names
	Created     time.Time
	Status      string // Active, Failed, or empty until the index is done
}

// status is what EntityKeyIndexStatus says.
func (k *alternateKey) status(now time.Time) string {
	switch {
	case k.Status != "":
		return k.Status
	case now.Sub(k.Created) < keyStarts:
		return keyPending
	}
	return keyInProgress
}

// columns are those of the key.
func (k *alternateKey) columns(d *definition) []*column {
	columns := make([]*column, len(k.Attributes))
	for i, name := range k.Attributes {
		columns[i] = d.column(name)
	}
	return columns
}

// key finds a key by its logical name.
func (d *definition) key(name string) *alternateKey {
	for _, k := range d.Keys {
		if k.LogicalName == name {
			return k
		}
	}
	return nil
}

// activeKey finds the key over exactly these columns that can be used; nil if there is none.
func (d *definition) activeKey(names []string) *alternateKey {
	sorted := slices.Sorted(slices.Values(names))
	for _, k := range d.Keys {
		if k.Status == keyActive && slices.Equal(sorted, slices.Sorted(slices.Values(k.Attributes))) {
			return k
		}
	}
	return nil
}

// buildKeys makes the indexes that are due. A key whose rows are not unique has failed.
func (d *data) buildKeys() *apiError {
	for _, t := range d.inNameOrder() {
		for i, k := range t.Keys {
			if k.Status != "" || d.now().Sub(k.Created) < keyDone {
				continue
			}
			built := *k
			built.Status = keyActive
			if _, unique := t.uniqueRows(k); !unique {
				built.Status = keyFailed
			}
			next := *t.definition
			next.Keys = slices.Clone(t.Keys)
			next.Keys[i] = &built
			d.setDefinition(t, &next)
		}
	}
	return nil
}

// uniqueRows indexes all rows by a key, as far as they are unique.
func (t *table) uniqueRows(k *alternateKey) (rows uniqueRows, unique bool) {
	rows = uniqueRows{}
	columns := k.columns(t.definition)
	for r := range t.rows.after(nil) {
		v, whole := keyOf(r, columns)
		if !whole {
			continue
		}
		if rows[v] != nil {
			return nil, false
		}
		rows[v] = r
	}
	return rows, true
}

// keepKeys makes and drops indexes until there is one for each active key.
func (t *table) keepKeys() {
	for name := range t.keys {
		if k := t.key(name); k == nil || k.Status != keyActive {
			delete(t.keys, name)
		}
	}
	for _, k := range t.Keys {
		if k.Status == keyActive && t.keys[k.LogicalName] == nil {
			t.keys[k.LogicalName], _ = t.uniqueRows(k)
		}
	}
}

// checkKeys refuses a row whose values of a key another row has.
func (t *table) checkKeys(before, after *row) *apiError {
	for name, rows := range t.keys {
		k := t.key(name)
		v, whole := keyOf(after, k.columns(t.definition))
		if whole && rows[v] != nil && rows[v] != before {
			return &apiError{http.StatusPreconditionFailed, "0x80060892", fmt.Sprintf("Entity Key %s violated. A record with"+
				" the same value for %s already exists. A duplicate record cannot be created. Select one or more unique values"+
				" and try again.", k.Label, strings.Join(k.Attributes, ", "))}
		}
	}
	return nil
}
