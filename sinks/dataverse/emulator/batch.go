package emulator

import (
	"bytes"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/google/uuid"
)

// batch serves POST $batch: inner serves the operations in their order, each change set all or not at all.
type batch struct {
	inner      http.Handler
	atomically func(func() *apiError) *apiError
}

// ServeHTTP serves the operations up to the first that fails, whose status is then that of the batch too; or all of them
// where the client prefers odata.continue-on-error.
func (b *batch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		badMethod(r.Method).write(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	items, refusal := readBatch(r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	status, goOn := http.StatusOK, readPreferences(r.Header).continueOnError
	out := newReply("batchresponse_")
	for _, item := range items {
		failed := b.serveItem(out, r, item)
		if failed != 0 && !goOn {
			status = failed
			break
		}
	}
	body := out.end()
	w.Header().Set("Content-Type", out.mediaType())
	w.Header().Set("OData-Version", "4.0")
	identify(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone if this fails
}

// serveItem adds the answer to one item, and returns its status if it failed, else 0.
func (b *batch) serveItem(out *reply, outer *http.Request, i item) (failed int) {
	if i.isSet {
		return b.serveSet(out, outer, i.operations)
	}
	a := b.serve(outer, i.operations[0], nil)
	out.add("", a)
	return a.failed()
}

// serveSet serves a change set. Where an operation fails, nothing is stored, and its answer is the only one.
func (b *batch) serveSet(out *reply, outer *http.Request, set []operation) (failed int) {
	var done []*answer
	var failure *answer
	var failedID string
	outer = outer.WithContext(inTransaction(outer.Context()))
	refusal := b.atomically(func() *apiError {
		created := map[string]string{}
		for _, o := range set {
			a := b.serve(outer, o, created)
			if a.failed() != 0 {
				failure, failedID = a, o.contentID
				return &apiError{Status: a.failed()}
			}
			done = append(done, a)
			if o.contentID != "" {
				created[o.contentID] = a.header.Get("OData-EntityId")
			}
		}
		return nil
	})
	answers := newReply("changesetresponse_")
	defer func() { out.addSet(answers) }()
	if refusal == nil {
		for i, a := range done {
			answers.add(set[i].contentID, a)
		}
		return 0
	}
	if failure == nil { // all operations went well, but not the end of the transaction
		failure = refused(refusal)
	}
	answers.add(failedID, failure)
	return failure.failed()
}

// serve serves one operation. Created has the OData-EntityId of each that its change set served so far, by Content-ID.
func (b *batch) serve(outer *http.Request, o operation, created map[string]string) *answer {
	r, refusal := o.request(outer, created)
	if refusal != nil {
		return refused(refusal)
	}
	a := newAnswer()
	b.inner.ServeHTTP(a, r)
	return a
}

// reply is a multipart body of answers.
type reply struct {
	body   bytes.Buffer
	writer *multipart.Writer
}

// newReply begins one whose boundary has the prefix, by which clients know it.
func newReply(prefix string) *reply {
	r := &reply{}
	r.writer = multipart.NewWriter(&r.body)
	if err := r.writer.SetBoundary(prefix + uuid.NewString()); err != nil {
		panic(err) // only if the prefix has odd characters or is too long
	}
	return r
}

func (r *reply) mediaType() string { return "multipart/mixed; boundary=" + r.writer.Boundary() }

// end is the whole body. Nothing can be added after it.
func (r *reply) end() []byte {
	_ = r.writer.Close() // a buffer takes all
	return r.body.Bytes()
}

// add adds the answer to an operation, with its Content-ID if it has one.
func (r *reply) add(contentID string, a *answer) {
	header := textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Transfer-Encoding": {"binary"}}
	if contentID != "" {
		header["Content-ID"] = []string{contentID}
	}
	part, _ := r.writer.CreatePart(header) // a buffer takes all, here and below
	status := max(a.status, http.StatusOK)
	fmt.Fprintf(part, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, value := range a.header[name] {
			fmt.Fprintf(part, "%s: %s\r\n", spelled(name), value)
		}
	}
	fmt.Fprint(part, "\r\n")
	_, _ = part.Write(a.body.Bytes())
}

// addSet adds the answers to a change set.
func (r *reply) addSet(set *reply) {
	body := set.end()
	part, _ := r.writer.CreatePart(textproto.MIMEHeader{"Content-Type": {set.mediaType()}}) // a buffer takes all
	_, _ = part.Write(body)
}

// spelled writes a header's name as Dataverse does. Some clients look for it in the text of a batch.
func spelled(name string) string {
	switch name {
	case "Odata-Entityid":
		return "OData-EntityId"
	case "Odata-Version":
		return "OData-Version"
	case "Etag":
		return "ETag"
	case "Req_id":
		return "REQ_ID"
	}
	return name
}
