package events

import (
	"bytes"
	"hash/maphash"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// sharedTexts holds texts that were read lately, so that events with the same names share them: of an execution's texts
// only its id and the agent's are new as a rule. Each has one place by its hash, so the memory is bounded, and who is not
// found is made, and replaces another. Each field has places of its own: a name that all events have and a model that all
// have would else drive each other out for as long as the process lives, where their hashes happen to meet.
type sharedTexts [fieldCount][64]string

// sharedFields are those in which events repeat each other.
var sharedFields = [fieldCount]bool{fieldType: true, fieldCampaignID: true, fieldRunID: true, fieldPhase: true,
	fieldStatus: true, fieldAgentName: true, fieldModel: true}

var (
	sharedPool = sync.Pool{New: func() any { return new(sharedTexts) }}
	sharedSeed = maphash.MakeSeed()
)

func (t *sharedTexts) of(f field, text []byte) string {
	places := &t[f]
	at := &places[maphash.Bytes(sharedSeed, text)%uint64(len(places))]
	if *at != string(text) {
		*at = string(text)
	}
	return *at
}

// isShared tells whether a value is a string without escapes and short enough to be kept: a wrong one may have 64 KiB.
func isShared(raw jsontext.Value) bool {
	const longest = 64
	return raw.Kind() == stringKind && len(raw) <= longest && bytes.IndexByte(raw, '\\') < 0
}
