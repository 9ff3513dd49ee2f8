package events

import (
	"strconv"
	"testing"
	"unsafe"
)

// A text that all events have stays, whatever other fields hold: each event would else allocate it again.
func TestAFieldKeepsItsTextWhateverOthersHold(t *testing.T) {
	var texts sharedTexts
	model := texts.of(fieldModel, []byte("large"))
	for i := range 10_000 {
		texts.of(fieldRunID, strconv.AppendInt(nil, int64(i), 10))
	}
	if again := texts.of(fieldModel, []byte("large")); unsafe.StringData(again) != unsafe.StringData(model) {
		t.Error("the model's text was made again")
	}
}
