package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/query"
)

// soonTime is how long before its end a key or a certificate is worth a word: what renews certificates does so earlier.
const soonTime = 14 * 24 * time.Hour

// examineKeysFile looks at the keys of the API, and at who else can read or write their file.
func (d *doctor) examineKeysFile(now time.Time) {
	path := d.cfg.APIKeysFile
	if path == "" {
		return
	}
	keys, err := readKeys(path)
	if err != nil {
		d.fail(areaHTTP, "keys", path+": "+err.Error(), "`runmetrics keys list "+path+"` names all faults; "+
			"`runmetrics keys new` makes a line")
		return
	}
	d.examineMode("keys", path, "who adds a line to it has a key", "others can read the hashes of keys")
	list := keys.List()
	ended := func(key query.KeyInfo) bool { return !key.Expires.IsZero() && !now.Before(key.Expires) }
	valid := slices.DeleteFunc(slices.Clone(list), ended)
	for _, key := range list {
		renew := fmt.Sprintf("`runmetrics keys new NEW-ID --scopes %s >> %s`, give its token to the client, and "+
			"take the line of %s out",
			strings.Join(key.Scopes, ","), path, key.ID)
		switch {
		case ended(key) && len(valid) > 0:
			d.warn(areaHTTP, "keys", fmt.Sprintf("key %s expired on %s: its client is refused", key.ID,
				key.Expires.Format(time.DateOnly)), renew)
		case !key.Expires.IsZero() && !ended(key) && key.Expires.Sub(now) < soonTime:
			d.warn(areaHTTP, "keys", fmt.Sprintf("key %s expires on %s", key.ID, key.Expires.Format(time.DateOnly)), renew)
		}
	}
	d.examineScopes(path, len(list), valid)
}

// examineScopes tells whether somebody has a key for each kind of request.
func (d *doctor) examineScopes(path string, all int, valid []query.KeyInfo) {
	if len(valid) == 0 {
		d.fail(areaHTTP, "keys", fmt.Sprintf("all %d keys have expired: every client is refused", all),
			fmt.Sprintf("`runmetrics keys new NEW-ID --scopes read,write >> %s`, and give its token to the client", path))
		return
	}
	d.ok(areaHTTP, "keys", fmt.Sprintf("%d of %d are valid", len(valid), all))
	for _, of := range []struct{ scope, refused string }{
		{query.ScopeRead, "every GET is refused, /metrics too"}, {query.ScopeWrite, "every POST is refused"}} {
		if !slices.ContainsFunc(valid, func(key query.KeyInfo) bool { return slices.Contains(key.Scopes, of.scope) }) {
			d.warn(areaHTTP, "keys", "no valid key has the scope "+of.scope+": "+of.refused,
				fmt.Sprintf("`runmetrics keys new NEW-ID --scopes %s >> %s`, unless that is meant", of.scope, path))
		}
	}
}

// examineMode tells who else on this machine can write or read a file.
func (d *doctor) examineMode(subject, path, written, read string) {
	info, err := os.Stat(path)
	if err != nil {
		return // whoever reads it says so
	}
	fix := fmt.Sprintf("`chmod o-rwx %s`; in Kubernetes defaultMode: 0440 of the secret's volume", path)
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		d.fail(areaHTTP, subject, fmt.Sprintf("everybody on this machine can write to %s, mode %04o: %s", path, mode,
			written), fix)
	case mode&0o004 != 0:
		d.warn(areaHTTP, subject, fmt.Sprintf("%s has mode %04o: %s", path, mode, read), fix)
	}
}

// examineCertificate looks at what the API shows to clients over TLS.
func (d *doctor) examineCertificate(now time.Time) {
	cert, key := d.cfg.HTTPCert, d.cfg.HTTPKey
	if cert == "" || key == "" {
		return
	}
	d.examineMode("certificate", key, "it can be replaced", "others can read the private key")
	const renew = "renew it; a running service takes new files by itself within five seconds"
	if _, err := query.LoadCertificate(cert, key); err != nil {
		fix := "let HTTP_CERT and HTTP_KEY name the files of one certificate and its key"
		if strings.Contains(err.Error(), "expired") {
			fix = renew + "; if it should hold, look at this machine's clock with `date -u`"
		}
		d.fail(areaHTTP, "certificate", fmt.Sprintf("%s and %s are of no use: %v", cert, key, err), fix)
		return
	}
	leaf, err := readLeaf(cert)
	switch {
	case err != nil:
		d.fail(areaHTTP, "certificate", cert+": "+err.Error(), "")
	case now.Before(leaf.NotBefore):
		d.fail(areaHTTP, "certificate", cert+" holds from "+leaf.NotBefore.UTC().Format(time.RFC3339)+" on only",
			"look at this machine's clock with `date -u`, or wait; clients refuse it until then")
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		d.fail(areaHTTP, "certificate", cert+" is for no name: clients do not look at its subject",
			"have one issued with the names that clients use as subjectAltName")
	case leaf.NotAfter.Sub(now) < soonTime:
		d.warn(areaHTTP, "certificate", fmt.Sprintf("%s, for %s, expires at %s", cert, certified(leaf),
			leaf.NotAfter.UTC().Format(time.RFC3339)), renew)
	default:
		d.ok(areaHTTP, "certificate", fmt.Sprintf("for %s until %s", certified(leaf),
			leaf.NotAfter.UTC().Format(time.DateOnly)))
	}
}

// readLeaf reads the first certificate of a file that was loaded before.
func readLeaf(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("there is no certificate in %s", path)
}
