package events

import (
	"bytes"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// field is a property of an event, or of the metrics object of a run.reported event, which shares names with it.
type field int

const (
	fieldVersion field = iota
	fieldID
	fieldType
	fieldCampaignID
	fieldRunID
	fieldPhase
	fieldOccurredAt
	fieldAgentID
	fieldAttempt
	fieldStatus
	fieldLatencyMs
	fieldTokensIn
	fieldTokensOut
	fieldAssetsGenerated
	fieldCostUSD
	fieldAgentName
	fieldModel
	fieldError
	fieldAgentsExpected
	fieldOutcome
	fieldMetrics
	fieldVoids
	fieldReason
	// only inside metrics
	fieldAgentsTotal
	fieldAgentsSuccessful
	fieldLatencyP95Ms
	fieldLatencyAvgMs
	// of a CloudEvents envelope
	fieldSpecVersion
	fieldTime
	fieldData
	fieldDataBase64
	fieldCount
)

var fieldNames = [fieldCount]string{
	"version", "id", "type", "campaignId", "runId", "phase", "occurredAt", "agentId", "attempt", "status", "latencyMs",
	"tokensIn", "tokensOut", "assetsGenerated", "costUSD", "agentName", "model", "error", "agentsExpected", "outcome",
	"metrics", "voids", "reason", "agentsTotal", "agentsSuccessful", "latencyP95Ms", "latencyAvgMs", "specversion",
	"time", "data", "data_base64",
}

func (f field) String() string { return fieldNames[f] }

// fieldsByLength holds the properties by the length of their names, of which at most six share one.
var fieldsByLength = func() (table [longestName + 1][]field) {
	for f, name := range fieldNames {
		table[len(name)] = append(table[len(name)], field(f))
	}
	return table
}()

const longestName = len("agentsSuccessful")

// fieldOf finds a known property by its name.
func fieldOf(name []byte) (field, bool) {
	if len(name) > longestName {
		return 0, false
	}
	for _, f := range fieldsByLength[len(name)] {
		if string(name) == fieldNames[f] {
			return f, true
		}
	}
	return 0, false
}

// object holds the raw values of the known properties of a JSON object; nil is absent. A null is kept as absent too:
// the contract tells the two apart nowhere.
type object [fieldCount]jsontext.Value

// scanner is a reusable decoder; making one costs more than decoding an event.
type scanner struct {
	decoder *jsontext.Decoder
	source  bytes.Buffer
}

var scanners = sync.Pool{New: func() any { return &scanner{decoder: jsontext.NewDecoder(new(bytes.Buffer))} }}

// scan reads data, which must be exactly one JSON object. The values are parts of data.
func (o *object) scan(data []byte) error {
	if o.scanPlain(data) {
		return nil
	}
	*o = object{}
	return o.scanAny(data)
}

// scanAny is scan by the library: it decides what is JSON.
func (o *object) scanAny(data []byte) error {
	s := scanners.Get().(*scanner)
	defer scanners.Put(s)
	s.source = *bytes.NewBuffer(data)
	s.decoder.Reset(&s.source)
	if s.decoder.PeekKind() != '{' {
		if _, err := s.decoder.ReadValue(); err != nil {
			return err
		}
		return errNotObject
	}
	if _, err := s.decoder.ReadToken(); err != nil {
		return err
	}
	for s.decoder.PeekKind() != '}' {
		name, err := s.decoder.ReadValue()
		if err != nil {
			return err
		}
		f, known := fieldOf(unquoted(name))
		value, err := s.decoder.ReadValue()
		if err != nil {
			return err
		}
		if known && value.Kind() != 'n' {
			end := s.decoder.InputOffset()
			o[f] = jsontext.Value(data[end-int64(len(value)) : end])
		}
	}
	if _, err := s.decoder.ReadToken(); err != nil {
		return err
	}
	if _, err := s.decoder.ReadToken(); err != io.EOF {
		return errNotObject
	}
	return nil
}

// unquoted returns a name without its quotes and escapes.
func unquoted(name jsontext.Value) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name[1 : len(name)-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, name) // the decoder has checked it
	return plain
}
