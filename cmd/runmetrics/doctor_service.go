package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/apexsalesai/runmetrics/query"
)

// serviceTime is how long the service at HTTP_ADDR may take for each answer.
const serviceTime = 3 * time.Second

// answering is who was found at HTTP_ADDR.
type answering struct {
	err     error // why nobody answered; nil where somebody did
	ours    bool
	version string
	status  string // what a stranger answered
}

// localURL is where this machine reaches the API.
func localURL(cfg *Config) string {
	host, port, _ := net.SplitHostPort(cfg.HTTPAddr) // checked with the configuration
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return apiScheme(cfg) + "://" + net.JoinHostPort(host, port)
}

// askService asks who answers at HTTP_ADDR: the document of the API names program and version, and is open to everybody.
func (d *doctor) askService(ctx context.Context) answering {
	var document struct {
		Info struct{ Title, Version string }
	}
	status, err := d.ask(ctx, "/openapi.json", &document)
	return answering{err: err, ours: document.Info.Title == "runmetrics", version: document.Info.Version, status: status}
}

// ask reads JSON from the service at HTTP_ADDR. What is no JSON leaves the answer as it is.
func (d *doctor) ask(ctx context.Context, path string, answer any) (status string, err error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, localURL(d.cfg)+path, nil)
	if err != nil {
		return "", err
	}
	// The certificate is made out to the name that clients use, and nothing that is asked here is secret.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	_ = json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(answer)
	return response.Status, nil
}

// examineService says how the service is that answers, or whether one could listen.
func (d *doctor) examineService(ctx context.Context, found answering) {
	address := d.cfg.HTTPAddr
	another := "end what listens there, `ss -ltnp`, or set HTTP_ADDR to a free address"
	switch {
	case strings.HasSuffix(address, ":0"):
		d.ok(areaHTTP, "service", "any free port: it is not known who answers")
	case errors.Is(found.err, syscall.ECONNREFUSED):
		d.examineFree(ctx)
	case found.err != nil && ctx.Err() == nil:
		d.fail(areaHTTP, "service", "something listens at "+address+" and is not this service as it is set up: "+
			found.err.Error(), another)
	case !found.ours:
		d.fail(areaHTTP, "service", "another program answers at "+address+": "+found.status, another)
	default:
		d.examineVersion(found.version)
		d.examineState(ctx)
	}
}

// examineFree tries whether a service could listen, for a moment.
func (d *doctor) examineFree(ctx context.Context) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", d.cfg.HTTPAddr)
	if err != nil {
		d.fail(areaHTTP, "service", err.Error(), "set HTTP_ADDR to an address of this machine and a port that "+
			"this user may open, above 1023")
		return
	}
	l.Close()
	d.ok(areaHTTP, "service", "nobody listens at "+d.cfg.HTTPAddr+": runmetrics run is not up on this machine")
}

func (d *doctor) examineVersion(theirs string) {
	if own := version(); theirs != own {
		d.warn(areaHTTP, "version", fmt.Sprintf("the service at %s is version %s, this program is %s: it knows "+
			"other faults than that has", d.cfg.HTTPAddr, theirs, own),
			"restart the service with this program, or run doctor with that one")
	}
}

// examineState shows what the service says of itself. Its reasons follow from what is wrong elsewhere, as a rule.
func (d *doctor) examineState(ctx context.Context) {
	var state query.State
	status, err := d.ask(ctx, "/readyz", &state)
	reasons := strings.Join(state.Reasons, "; ")
	finding := fmt.Sprintf("the service at %s is %s", d.cfg.HTTPAddr, state.State)
	if reasons != "" {
		finding += ": " + reasons
	}
	const look = "mend what is named above; GET /readyz with a key of scope read, and its log, say what is left"
	switch {
	case err != nil:
		d.fail(areaHTTP, "service", "it does not say how it is: "+err.Error(), "look into its log, or restart it")
	case state.State == "":
		d.fail(areaHTTP, "service", "it does not take requests: /readyz is "+status,
			"look into its log; when it is stopping, wait and start it again")
	case state.State == query.StateBlocked:
		d.fail(areaHTTP, "service", finding, look)
	case state.State == query.StateDegraded:
		d.warn(areaHTTP, "service", finding, look)
	default:
		d.ok(areaHTTP, "service", finding)
	}
}
