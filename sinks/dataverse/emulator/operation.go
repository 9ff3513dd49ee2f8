package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
)

const (
	maxOperations  = 1000     // in a batch
	maxURLInBatch  = 64 << 10 // characters
	multipartMixed = "multipart/mixed"
)

// item is a part of a batch: one operation, or a change set of several.
type item struct {
	isSet      bool
	operations []operation
}

// operation is a request inside a batch.
type operation struct {
	contentID      string // by which later ones of the change set name what it made, or empty
	method, target string
	header         textproto.MIMEHeader
	body           []byte
}

// readBatch takes a batch apart, as far as its end: a batch that cannot be read has no effect.
func readBatch(r *http.Request) ([]item, *apiError) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/json":
		return nil, notKnown("batches of JSON")
	case err != nil || kind != multipartMixed || parameters["boundary"] == "":
		return nil, unreadable("The Content-Type must be multipart/mixed with a boundary.")
	}
	var items []item
	count := 0
	refusal := eachPart(r.Body, parameters["boundary"], func(part *multipart.Part) *apiError {
		i, refusal := readItem(part)
		if count += len(i.operations); refusal == nil && count > maxOperations {
			return unreadable(fmt.Sprintf("The batch has more than %d operations.", maxOperations))
		}
		items = append(items, i)
		return refusal
	})
	return items, refusal
}

// eachPart calls f for the parts of a multipart body until one is refused.
func eachPart(body io.Reader, boundary string, f func(*multipart.Part) *apiError) *apiError {
	parts := multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unreadableBody(err)
		}
		if refusal := f(part); refusal != nil {
			return refusal
		}
	}
}

// readItem reads a part of a batch.
func readItem(part *multipart.Part) (item, *apiError) {
	kind, parameters, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
	if kind != multipartMixed {
		o, refusal := readOperation(part)
		return item{operations: []operation{o}}, refusal
	}
	set := item{isSet: true}
	ids := map[string]bool{}
	refusal := eachPart(part, parameters["boundary"], func(part *multipart.Part) *apiError {
		o, refusal := readOperation(part)
		switch {
		case refusal != nil:
			return refusal
		case o.method == http.MethodGet:
			return unreadable("A change set must not have a GET.")
		case o.contentID != "" && ids[o.contentID]:
			return unreadable(fmt.Sprintf("The Content-ID '%s' is not unique in its change set.", o.contentID))
		}
		ids[o.contentID] = true
		set.operations = append(set.operations, o)
		return nil
	})
	if refusal == nil && len(set.operations) == 0 {
		refusal = unreadable("A change set must have an operation.")
	}
	return set, refusal
}

// readOperation reads the request that a part holds. The blank line after its headers may be missing where it has no
// body.
func readOperation(part *multipart.Part) (operation, *apiError) {
	if kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind != "application/http" {
		return operation{}, unreadable("The Content-Type of an operation must be application/http.")
	}
	content, err := io.ReadAll(part)
	if err != nil {
		return operation{}, unreadableBody(err)
	}
	in := textproto.NewReader(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(content, "\r\n"))))
	line, _ := in.ReadLine()
	method, rest, _ := strings.Cut(line, " ")
	space := strings.LastIndexByte(rest, ' ') // a URL with spaces in it is read, too
	if space < 0 || !strings.HasPrefix(rest[space+1:], "HTTP/") {
		return operation{}, unreadable(fmt.Sprintf("An operation must begin with METHOD URL HTTP/1.1, not with '%s'.", line))
	}
	o := operation{contentID: part.Header.Get("Content-ID"), method: method, target: strings.TrimSpace(rest[:space])}
	if strings.HasSuffix(o.target, "/$batch") {
		return operation{}, unreadable("A batch must not be in a batch.")
	}
	if len(o.target) > maxURLInBatch {
		return operation{}, unreadable(fmt.Sprintf("A URL must not have more than %d characters.", maxURLInBatch))
	}
	if o.header, err = in.ReadMIMEHeader(); err != nil && !errors.Is(err, io.EOF) {
		return operation{}, unreadable("The headers of an operation cannot be read.")
	}
	o.body, _ = io.ReadAll(in.R) // from memory
	return o, nil
}

// request is the operation as a request of its own, from the client that sent the batch. Its URL may be absolute, an
// absolute path, relative to the batch, or begin with the reference to something that was created.
func (o operation) request(outer *http.Request, created map[string]string) (*http.Request, *apiError) {
	target := o.target
	if reference, isReference := strings.CutPrefix(target, "$"); isReference {
		end := strings.IndexAny(reference+"/", "/?")
		id, rest := reference[:end], reference[end:]
		address, served := created[id]
		switch {
		case !served:
			return nil, unreadable(fmt.Sprintf("Content-ID Reference: '$%s' does not exist in the batch context.", id))
		case address == "":
			return nil, notKnown("references like $%s to an operation without OData-EntityId", id)
		}
		target = address + rest
	}
	if !strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		target = "./" + target // else a colon in a key would end a scheme
	}
	url, err := outer.URL.Parse(target)
	if err != nil {
		return nil, unreadable(fmt.Sprintf("The URL '%s' of an operation cannot be read.", o.target))
	}
	url.Scheme, url.Host, url.User = "", "", nil // as in any request that a server gets
	r := &http.Request{
		Method: o.method, URL: url, RequestURI: url.RequestURI(), Header: http.Header(o.header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(o.body)), ContentLength: int64(len(o.body)),
		Host: outer.Host, RemoteAddr: outer.RemoteAddr, TLS: outer.TLS,
	}
	return r.WithContext(outer.Context()), nil
}

// unreadable refuses a batch that is not as it must be.
func unreadable(message string) *apiError {
	return &apiError{http.StatusBadRequest, "0x80048d19", message}
}

// unreadableBody refuses a batch whose body breaks off, or is longer than the server takes.
func unreadableBody(err error) *apiError {
	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		return tooLarge()
	}
	return unreadable("The batch cannot be read: " + err.Error())
}
