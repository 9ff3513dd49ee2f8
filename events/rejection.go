package events

import (
	"errors"
	"fmt"
	"strings"
)

// Reason says why an event became a dead letter. The set is closed: reasons are labels of metrics and values of a query.
type Reason string

// Decode gives the first six; the others are found later, against what is stored.
const (
	Malformed            Reason = "malformed" // not one JSON object in UTF-8 without repeated names
	TooLarge             Reason = "too_large" // over MaxSize
	UnsupportedVersion   Reason = "unsupported_version"
	UnknownType          Reason = "unknown_type"
	Invalid              Reason = "invalid"          // fields break their rules
	SubjectMismatch      Reason = "subject_mismatch" // the subject names another campaign or run
	ConflictingDuplicate Reason = "conflicting_duplicate"
	Sealed               Reason = "sealed"  // the run's executions were pruned
	Refused              Reason = "refused" // a store refuses the value for its content
)

// Reasons are all of them.
var Reasons = []Reason{Malformed, TooLarge, UnsupportedVersion, UnknownType, Invalid, SubjectMismatch, ConflictingDuplicate,
	Sealed, Refused}

// FieldError is one bad field of an event.
type FieldError struct {
	Field   string // as in the JSON, "metrics.tokensIn" inside an object
	Problem string // "is required", "must be an integer from 0 to 1000000000"
}

// Rejection is why Decode refused a message. It never quotes values: a producer's secret must not end in a log.
type Rejection struct {
	Reason Reason
	Fields []FieldError // in the order of the contract's table; empty where the message as a whole is at fault
	Detail string       // set where Fields is empty
}

// Error names the reason and every bad field.
func (r *Rejection) Error() string {
	if len(r.Fields) == 0 {
		return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
	}
	parts := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		parts[i] = f.Field + " " + f.Problem
	}
	return fmt.Sprintf("%s: %s", r.Reason, strings.Join(parts, "; "))
}

// Field is the first bad field, or empty.
func (r *Rejection) Field() string {
	if len(r.Fields) == 0 {
		return ""
	}
	return r.Fields[0].Field
}

var (
	errNotNumber = errors.New("must be a decimal number")
	errCostRange = errors.New("must be from 0 to 1000000")
)
