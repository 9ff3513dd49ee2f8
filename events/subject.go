package events

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// SubjectPrefix is the first token of every subject that carries run events.
const SubjectPrefix = "runs"

// runNamespace is the UUIDv5 namespace of run keys. It never changes: stored rows are found by it.
var runNamespace = uuid.MustParse("2a44673b-1e04-50f1-806d-cbd4b561aedb")

// UUID is the identity of the run in every store: UUIDv5 of the percent-encoded names joined by '/'.
func (k Key) UUID() uuid.UUID {
	b := make([]byte, 0, 96)
	b = append(appendToken(b, k.CampaignID), '/')
	b = append(appendToken(b, k.RunID), '/')
	return uuid.NewSHA1(runNamespace, appendToken(b, k.Phase))
}

// Subject is where events of a run are published: runs.<campaign>.<run>.
func Subject(campaignID, runID string) string {
	b := append(make([]byte, 0, 96), SubjectPrefix+"."...)
	b = append(appendToken(b, campaignID), '.')
	return string(appendToken(b, runID))
}

// MessageID is the Nats-Msg-Id of an event. JetStream drops repeats of it over the whole stream, so it carries the run
// unless the event's id is a UUID, which is unique by itself.
func MessageID(e *Event) string {
	if len(e.ID) == 36 {
		if _, err := uuid.Parse(e.ID); err == nil {
			return e.ID
		}
	}
	b := make([]byte, 0, 128)
	for _, s := range []string{e.CampaignID, e.RunID, e.Phase} {
		b = append(appendToken(b, s), '/')
	}
	return string(appendToken(b, e.ID))
}

var errSubject = errors.New("does not end in two percent-encoded tokens, .<campaign>.<run>")

// ParseSubject returns the campaign and the run that the last two tokens of a subject name. What stands before them is
// not looked at: partitioned streams put a number there.
func ParseSubject(subject string) (campaignID, runID string, err error) {
	run := strings.LastIndexByte(subject, '.')
	if run < 0 {
		return "", "", errSubject
	}
	campaign := strings.LastIndexByte(subject[:run], '.')
	if campaign < 0 {
		return "", "", errSubject
	}
	if campaignID, err = decodeToken(subject[campaign+1 : run]); err != nil {
		return "", "", err
	}
	if runID, err = decodeToken(subject[run+1:]); err != nil {
		return "", "", err
	}
	return campaignID, runID, nil
}

// EncodeToken makes s a subject token: every byte outside A-Za-z0-9_- becomes %XX.
func EncodeToken(s string) string { return string(appendToken(nil, s)) }

func appendToken(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func decodeToken(token string) (string, error) {
	if strings.IndexByte(token, '%') < 0 {
		return token, nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b = append(b, token[i])
			continue
		}
		if i+2 >= len(token) || unhex(token[i+1]) < 0 || unhex(token[i+2]) < 0 {
			return "", fmt.Errorf("token %.64q: %w", token, errSubject)
		}
		b = append(b, byte(unhex(token[i+1])<<4|unhex(token[i+2])))
		i += 2
	}
	return string(b), nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
