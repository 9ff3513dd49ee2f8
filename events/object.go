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
	fieldCount
)

var fieldNames = [fieldCount]string{
	"version", "id", "type", "campaignId", "runId", "phase", "occurredAt", "agentId", "attempt", "status", "latencyMs",
	"tokensIn", "tokensOut", "assetsGenerated", "costUSD", "agentName", "model", "error", "agentsExpected", "outcome",
	"metrics", "voids", "reason", "agentsTotal", "agentsSuccessful", "latencyP95Ms", "latencyAvgMs", "specversion",
	"time", "data",
}

func (f field) String() string { return fieldNames[f] }

// fieldOf finds a known property by its quoted name.
var fieldOf = func() map[string]field {
	m := make(map[string]field, fieldCount)
	for f, name := range fieldNames {
		m[`"`+name+`"`] = field(f)
	}
	return m
}()

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
		f, known := fieldOf[string(unescaped(name))]
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

// unescaped rewrites a quoted name with escapes to its plain form.
func unescaped(name jsontext.Value) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	plain, err := jsontext.AppendUnquote(nil, name)
	if err != nil {
		return name
	}
	return append(append([]byte{'"'}, plain...), '"')
}
