package dataverse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// output collects what is printed, by any number of goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// TestNoSecretIsEverShown has an authority and an organisation that quote what they are sent, and prints everything there
// is in every way.
func TestNoSecretIsEverShown(t *testing.T) {
	t.Parallel()
	out := new(output)
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		message := "you sent " + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		answer(http.StatusUnauthorized, fmt.Sprintf(`{"error":{"code":"0x1","message":%q}}`, message), "x-ms-service-request-id: "+message)(w, r)
	})
	var configs []dataverse.Config
	client := s.client(func(c *dataverse.Config) {
		c.Log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		configs = append(configs, *c)
	})
	errs := []error{ask(t.Context(), client)}
	s.mu.Lock()
	s.token = func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		text, _ := json.Marshal(fmt.Sprintf("%s or %s", body, form.Get("client_secret")))
		answer(http.StatusUnauthorized, `{"error":"invalid_client","error_codes":[7000215],"error_description":`+string(text)+
			`,"trace_id":`+string(text)+`}`)(w, r)
	}
	s.mu.Unlock()
	errs = append(errs, ask(t.Context(), client))
	s.Close()
	errs = append(errs, ask(t.Context(), client))

	for _, value := range []any{configs[0], &configs[0], client, *client, errs} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(out, verb+"\n", value)
		}
		slog.New(slog.NewJSONHandler(out, nil)).Info("all", "value", value)
		func() {
			defer func() { fmt.Fprintln(out, recover()) }()
			panic(value)
		}()
	}
	for _, err := range errs {
		fmt.Fprintf(out, "%v %+v %#v\n", err, err, err)
	}
	printed := out.text.String()
	for _, hidden := range []string{secret, url.QueryEscape(secret), fmt.Sprintf("%x", secret), "token-1", "token-2"} {
		if at := strings.Index(printed, hidden); at >= 0 {
			t.Errorf("%q is shown: …%s…", hidden, printed[max(0, at-200):min(len(printed), at+100)])
		}
	}
	if !strings.Contains(printed, "client-1") || !strings.Contains(printed, "(not shown)") {
		t.Errorf("the test prints too little to prove anything: %s", printed)
	}
}
