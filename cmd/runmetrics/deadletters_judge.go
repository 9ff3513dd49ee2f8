package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// verdict is what would become of a dead letter if it were published again now.
type verdict struct {
	letter  *sinks.Letter
	message *nats.Msg // nil where it would be refused again
	why     string    // then
}

// judgeLetter decodes a letter as the pipeline does. What only the store can find out it foretells from the letter's
// reason: that the run is sealed, or has another event with this id, is still so. What a store has refused for its content
// it may take now.
func judgeLetter(l *sinks.Letter, c *content, now time.Time) verdict {
	left := func(why string) verdict { return verdict{letter: l, why: why} }
	switch l.Reason {
	case events.ConflictingDuplicate:
		return left("its id belongs to another event of the run: give it a new one with --payload, or drop it")
	case events.Sealed:
		return left("its run is sealed: nothing changes it any more")
	}
	subject, readable := republished(c.subject)
	m := events.Message{Subject: subject, Header: c.header, Data: c.data, Time: now}
	e, rejected := events.Decode(m)
	switch {
	case rejected != nil && !c.whole():
		return left(fmt.Sprintf("only its first %d bytes are kept, and the stream no longer holds the message", sinks.MaxDeadPayload))
	case rejected != nil && !c.stream:
		return left(rejected.Error() + " (without headers: the stream no longer holds the message)")
	case rejected != nil:
		return left(rejected.Error())
	case !readable:
		subject = events.Subject(e.CampaignID, e.RunID)
	}
	return verdict{letter: l, message: requeuedMessage(l, c, subject, c.data, "")}
}

// judgeEdited decodes what is to be published in the place of a letter. It goes where its own names lead.
func judgeEdited(l *sinks.Letter, c *content, data []byte, now time.Time) verdict {
	e, rejected := events.Decode(events.Message{Header: c.header, Data: data, Time: now})
	if rejected != nil {
		return verdict{letter: l, why: rejected.Error()}
	}
	hash := sha256.Sum256(data)
	return verdict{letter: l, message: requeuedMessage(l, c, events.Subject(e.CampaignID, e.RunID), data, fmt.Sprintf("/%x", hash[:8]))}
}

// republished is the subject that an agent would publish to: what a partitioned stream has put before the names goes off,
// so that the server's mapping applies anew. It is empty and false where the subject names no run.
func republished(subject string) (string, bool) {
	if _, _, err := events.ParseSubject(subject); err != nil {
		return "", false
	}
	tokens := strings.Split(subject, ".")
	return events.SubjectPrefix + "." + strings.Join(tokens[len(tokens)-2:], "."), true
}

// requeuedMessage has an id that follows from the letter alone: whoever tries again because an acknowledgement was lost
// sends no second message while the stream remembers ids, for two minutes, and after that one whose event is known by its
// own id. The moment tells messages apart that had one sequence in two lives of a stream.
func requeuedMessage(l *sinks.Letter, c *content, subject string, data []byte, edited string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Header = forPublishing(c.header)
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("requeued/%s/%d/%d/%d%s", l.Stream, l.Epoch, l.Sequence, l.Time.UnixMicro(), edited))
	m.Data = data
	return m
}

// judge judges a page of letters.
func (q *requeueing) judge(ctx context.Context, page []sinks.Letter) ([]verdict, error) {
	contents, err := q.from.contents(ctx, page)
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdict, len(page))
	for i := range page {
		if q.edited != nil {
			verdicts[i] = judgeEdited(&page[i], &contents[i], q.edited, time.Now())
		} else {
			verdicts[i] = judgeLetter(&page[i], &contents[i], time.Now())
		}
	}
	return verdicts, nil
}
