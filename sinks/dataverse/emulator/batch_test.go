package emulator

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// notes is a service for batches: POST and PUT store a body under a name, GET reads it, nothing may be longer than 9.
type notes map[string]string

func (n notes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/api/data/v9.2/")
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.Host != "org.example" || r.URL.Host != "":
		(&apiError{http.StatusInternalServerError, "", "host " + r.Host + " URL " + r.URL.String()}).write(w)
	case r.Method == http.MethodGet:
		fmt.Fprintf(w, "%s?%s=%s", name, r.URL.RawQuery, n[name])
	case len(body) > 9:
		w.Header().Set("REQ_ID", "7")
		(&apiError{http.StatusBadRequest, "0x80044331", "too long"}).write(w)
	default:
		n[name] = string(body)
		w.Header().Set("OData-EntityId", "http://org.example/api/data/v9.2/"+name)
		w.Header().Set("OData-Version", "4.0")
		w.WriteHeader(http.StatusNoContent)
	}
}

// atomically undoes what f stored if it fails.
func (n notes) atomically(f func() *apiError) *apiError {
	before := maps.Clone(n)
	refusal := f()
	if refusal != nil {
		clear(n)
		maps.Copy(n, before)
	}
	return refusal
}

// part is an answer in a batch, as its client reads it.
type part struct {
	id     string // Content-ID
	status int
	header map[string]string // names as they are spelled
	body   string
}

// sendBatch sends a batch with the operations of its text, whose lines end with CRLF.
func sendBatch(t *testing.T, n notes, text string, headers ...string) (status int, parts []part) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://org.example/api/data/v9.2/$batch",
		strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
	r.Header.Set("Content-Type", `multipart/mixed; boundary="b"`)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	(&batch{inner: n, atomically: n.atomically}).ServeHTTP(w, r)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "multipart/") {
		return w.Code, []part{{body: w.Body.String()}}
	}
	if !strings.HasPrefix(w.Body.String(), "--batchresponse_") {
		t.Errorf("the answer does not begin with its boundary: %s", w.Body)
	}
	return w.Code, readParts(t, w.Header().Get("Content-Type"), w.Body)
}

func readParts(t *testing.T, mediaType string, body io.Reader) (parts []part) {
	t.Helper()
	_, parameters, err := mime.ParseMediaType(mediaType)
	if err != nil {
		t.Fatal(err)
	}
	in := multipart.NewReader(body, parameters["boundary"])
	for {
		p, err := in.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if kind := p.Header.Get("Content-Type"); kind != "application/http" {
			parts = append(parts, readParts(t, kind, p)...)
			continue
		}
		parts = append(parts, readPart(t, p))
	}
}

func readPart(t *testing.T, p *multipart.Part) part {
	t.Helper()
	raw, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	_, rest, isHTTP := strings.Cut(text, "HTTP/1.1 ")
	head, body, hasHead := strings.Cut(rest, "\r\n\r\n")
	got := part{id: p.Header.Get("Content-ID"), header: map[string]string{}, body: body}
	status, fields, _ := strings.Cut(head, "\r\n")
	if _, err := fmt.Sscan(status, &got.status); err != nil || !isHTTP || !hasHead {
		t.Fatalf("not an answer: %s", text)
	}
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(field, ": ")
		got.header[name] = value
	}
	return got
}

const (
	inBatch = "--b\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\n"
	inSet   = "--c\nContent-Type: application/http\nContent-Transfer-Encoding: binary\nContent-ID: %d\n\n"
	set     = "--b\nContent-Type: multipart/mixed;boundary=c\n\n"
)

func TestABatchServesItsOperationsInOrder(t *testing.T) {
	t.Parallel()
	n := notes{}
	status, parts := sendBatch(t, n, "\n"+
		inBatch+"POST http://org.example/api/data/v9.2/a HTTP/1.1\nContent-Type: application/json; type=entry\n\none\n"+
		inBatch+"GET /api/data/v9.2/a?$filter=x eq 'a b'&$top=1 HTTP/1.1\nAccept: application/json\n"+ // no blank line
		inBatch+"POST a HTTP/1.1\nContent-Type: application/json\nContent-Type: application/json\n\ntwo\n"+
		inBatch+"GET /api/data/v9.2/a HTTP/1.1\n\n\n"+
		inBatch+"GET b(key='a:b')?$top=1 HTTP/1.1\n\n\n--b--\n")
	if status != http.StatusOK || len(parts) != 5 {
		t.Fatalf("status %d, parts %+v", status, parts)
	}
	if p := parts[0]; p.status != http.StatusNoContent || p.body != "" || p.id != "" ||
		p.header["OData-EntityId"] != "http://org.example/api/data/v9.2/a" || p.header["OData-Version"] != "4.0" {
		t.Errorf("the create: %+v", p)
	}
	if parts[1].body != "a?$filter=x eq 'a b'&$top=1=one" || parts[3].body != "a?=two" ||
		parts[4].body != "b(key='a:b')?$top=1=" {
		t.Errorf("the reads: %+v, %+v, %+v", parts[1], parts[3], parts[4])
	}
}

func TestABatchEndsWithTheFirstErrorUnlessTheClientPrefersToGoOn(t *testing.T) {
	t.Parallel()
	const text = inBatch + "POST a HTTP/1.1\n\none\n" + inBatch + "POST b HTTP/1.1\n\nmuch too long\n" +
		inBatch + "POST c HTTP/1.1\n\nthree\n--b--\n"
	n := notes{}
	status, parts := sendBatch(t, n, text)
	if status != http.StatusBadRequest || len(parts) != 2 || parts[1].status != http.StatusBadRequest ||
		!strings.Contains(parts[1].body, "0x80044331") || parts[1].header["REQ_ID"] == "" {
		t.Errorf("status %d, parts %+v", status, parts)
	}
	if len(n) != 1 || n["a"] != "one" {
		t.Errorf("stored %v, want what came before the error", n)
	}
	n = notes{}
	status, parts = sendBatch(t, n, text, "Prefer", "respond-async, odata.continue-on-error")
	if status != http.StatusOK || len(parts) != 3 || parts[1].status != http.StatusBadRequest || len(n) != 2 {
		t.Errorf("continue-on-error: status %d, parts %+v, stored %v", status, parts, n)
	}
}

func TestAChangeSetIsStoredWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	n := notes{}
	create := func(last string) string {
		return inBatch + "POST before HTTP/1.1\n\nb\n" + set +
			fmt.Sprintf(inSet, 1) + "POST a HTTP/1.1\n\none\n" +
			fmt.Sprintf(inSet, 2) + "POST b HTTP/1.1\n\n" + last + "\n--c--\n--b--\n"
	}
	status, parts := sendBatch(t, n, create("much too long"))
	if status != http.StatusBadRequest || len(parts) != 2 || parts[1].id != "2" || parts[1].status != http.StatusBadRequest {
		t.Errorf("status %d, parts %+v", status, parts)
	}
	if len(n) != 1 || n["before"] != "b" {
		t.Errorf("after the failure there is %v", n)
	}
	status, parts = sendBatch(t, n, create("two"))
	if status != http.StatusOK || len(parts) != 3 || parts[1].id != "1" || parts[2].id != "2" {
		t.Errorf("status %d, parts %+v", status, parts)
	}
	if len(n) != 3 || n["b"] != "two" {
		t.Errorf("there is %v", n)
	}
}

func TestLaterOperationsOfAChangeSetReferToWhatWasCreated(t *testing.T) {
	t.Parallel()
	n := notes{}
	status, parts := sendBatch(t, n, set+fmt.Sprintf(inSet, 1)+"POST a HTTP/1.1\n\none\n"+
		fmt.Sprintf(inSet, 2)+"PUT $1/name HTTP/1.1\n\nnew\n--c--\n--b--\n")
	if status != http.StatusOK || len(parts) != 2 || n["a/name"] != "new" {
		t.Errorf("status %d, parts %+v, stored %v", status, parts, n)
	}
	status, parts = sendBatch(t, n, set+fmt.Sprintf(inSet, 2)+"PUT $1/name HTTP/1.1\n\nlost\n"+
		fmt.Sprintf(inSet, 1)+"POST a HTTP/1.1\n\none\n--c--\n--b--\n")
	if status != http.StatusBadRequest || len(parts) != 1 ||
		!strings.Contains(parts[0].body, "Content-ID Reference: '$1' does not exist in the batch context.") {
		t.Errorf("a reference ahead: status %d, parts %+v", status, parts)
	}
}

func TestABatchThatCannotBeReadHasNoEffect(t *testing.T) {
	t.Parallel()
	good := inBatch + "POST a HTTP/1.1\n\none\n"
	goodSet := set + fmt.Sprintf(inSet, 1) + "POST a HTTP/1.1\n\none\n"
	for name, c := range map[string]struct {
		text    string
		status  int
		headers []string
	}{
		"JSON":                   {"{}", http.StatusNotImplemented, []string{"Content-Type", "application/json"}},
		"another type":           {"x", http.StatusBadRequest, []string{"Content-Type", "text/plain"}},
		"no boundary":            {"x", http.StatusBadRequest, []string{"Content-Type", "multipart/mixed"}},
		"cut off":                {good, http.StatusBadRequest, nil},
		"a batch in it":          {good + inBatch + "POST /api/data/v9.2/$batch HTTP/1.1\n\n\n--b--\n", http.StatusBadRequest, nil},
		"no request":             {good + inBatch + "hello\n--b--\n", http.StatusBadRequest, nil},
		"a part of another type": {good + "--b\nContent-Type: text/plain\n\nx\n--b--\n", http.StatusBadRequest, nil},
		"a GET in a change set":  {goodSet + fmt.Sprintf(inSet, 2) + "GET a HTTP/1.1\n\n\n--c--\n--b--\n", http.StatusBadRequest, nil},
		"an empty change set":    {good + set + "--c--\n--b--\n", http.StatusBadRequest, nil},
		"a Content-ID twice":     {goodSet + fmt.Sprintf(inSet, 1) + "POST b HTTP/1.1\n\none\n--c--\n--b--\n", http.StatusBadRequest, nil},
		"1001 operations":        {strings.Repeat(good, 1001) + "--b--\n", http.StatusBadRequest, nil},
		"a URL of 65537 characters": {good + inBatch + "GET " + strings.Repeat("a", 65537) + " HTTP/1.1\n\n\n--b--\n",
			http.StatusBadRequest, nil},
	} {
		n := notes{}
		status, parts := sendBatch(t, n, c.text, c.headers...)
		if status != c.status || len(n) != 0 || !strings.HasPrefix(parts[0].body, `{"error":`) {
			t.Errorf("%s: status %d, stored %v, %+v", name, status, n, parts)
		}
	}
	n := notes{}
	status, parts := sendBatch(t, n, strings.Repeat(good, 1000)+"--b--\n")
	if status != http.StatusOK || len(parts) != 1000 {
		t.Errorf("1000 operations: status %d, %d parts", status, len(parts))
	}
}

func FuzzReadBatch(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(inBatch+"POST a HTTP/1.1\nA: b\n\none\n--b--\n", "\n", "\r\n")))
	f.Add([]byte(strings.ReplaceAll(set+fmt.Sprintf(inSet, 1)+"PUT $1/x HTTP/1.1\n\none\n--c--\n--b--\n", "\n", "\r\n")))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "http://org.example/api/data/v9.2/$batch", bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/mixed; boundary=b")
		n := notes{}
		w := httptest.NewRecorder()
		(&batch{inner: n, atomically: n.atomically}).ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError && w.Code != http.StatusNotImplemented {
			t.Errorf("status %d %s", w.Code, w.Body)
		}
	})
}
