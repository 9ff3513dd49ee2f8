package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/query"
)

// examineHTTP looks who can reach the API and with what, who answers there, and how that service says it is.
func (d *doctor) examineHTTP(ctx context.Context) {
	answering := d.askService(ctx)
	d.examineExposure(answering.ours)
	d.examineKeysFile(time.Now())
	d.examineCertificate(time.Now())
	d.examineOrigins()
	d.examineService(ctx, answering)
}

// examineStart says what "runmetrics run" would refuse of the configuration, but for what has an area of its own.
func (d *doctor) examineStart() {
	var refused faults
	new(serving).check(d.cfg, &refused)
	for _, f := range refused.list {
		if f.variable == "NATS_LISTEN" || f.variable == "STREAMS" {
			d.fault(areaConfiguration, f)
		}
	}
}

// examineExposure says what "runmetrics run" would say to the address.
func (d *doctor) examineExposure(serves bool) {
	open := query.CheckListen(d.cfg.HTTPAddr, d.cfg.APIKeysFile != "", false)
	loopback := query.IsLoopback(d.cfg.HTTPAddr)
	const fix = "set HTTP_ADDR=127.0.0.1:8080, or make a key, `runmetrics keys new studio --scopes read,write >> " +
		"api-keys`, and set API_KEYS_FILE=api-keys"
	switch {
	case open != nil && serves:
		d.warn(areaHTTP, "exposure", d.cfg.HTTPAddr+" is open: everybody who reaches it may read and post", fix)
	case open != nil:
		d.fail(areaHTTP, "exposure", d.cfg.HTTPAddr+" can be reached from other machines, and there are no keys: "+
			"runmetrics run refuses that", fix)
	case loopback && d.cfg.APIKeysFile == "":
		d.ok(areaHTTP, "exposure", d.cfg.HTTPAddr+" is reached from this machine only, without a key")
	case !loopback && d.cfg.HTTPCert == "":
		d.warn(areaHTTP, "exposure", "keys come over plain HTTP to "+d.cfg.HTTPAddr,
			"set HTTP_CERT and HTTP_KEY; where a proxy in front of this speaks TLS all is well")
	default:
		d.ok(areaHTTP, "exposure", d.cfg.HTTPAddr+" wants a key")
	}
}

// examineOrigins says from where pages may come. The configuration was checked: none comes over plain HTTP.
func (d *doctor) examineOrigins() {
	if n := len(d.cfg.CORSOrigins); n > 0 {
		d.ok(areaHTTP, "CORS", fmt.Sprintf("pages of %d origins may use the API with a key", n))
	}
}
