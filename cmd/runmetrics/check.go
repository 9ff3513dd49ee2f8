package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// fault is one thing wrong with the configuration.
type fault struct {
	variable string // or the flag
	problem  string // and what to do; never the value of a secret
}

// faults collects them: a person mends all at once, not one for each start.
type faults struct {
	list []fault
}

// add notes a fault, unless the variable has one: the second would only follow from the first.
func (f *faults) add(variable, problem string) {
	if slices.ContainsFunc(f.list, func(have fault) bool { return have.variable == variable }) {
		return
	}
	f.list = append(f.list, fault{variable, problem})
}

// configError is all that is wrong with the configuration.
type configError struct {
	faults []fault
}

// Error has a line for each fault, sorted by variable.
func (e *configError) Error() string {
	var b strings.Builder
	slices.SortStableFunc(e.faults, func(x, y fault) int { return strings.Compare(x.variable, y.variable) })
	b.WriteString("the configuration has faults:")
	for _, f := range e.faults {
		fmt.Fprintf(&b, "\n  %s: %s", f.variable, f.problem)
	}
	return b.String()
}

func checkNATS(cfg *Config, f *faults) {
	if cfg.NATSURL.IsSet() {
		for server := range strings.SplitSeq(cfg.NATSURL.Reveal(), ",") {
			// The parser's error quotes the URL, and with it a password.
			u, err := url.Parse(strings.TrimSpace(server))
			if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				f.add("NATS_URL", "is not a list of URLs such as nats://host:4222 or tls://host:4222")
			}
		}
	}
	if cfg.NATSCreds != "" && cfg.NATSNKey.IsSet() {
		f.add("NATS_CREDS", "is set, and so is NATS_NKEY; a user has one of them")
	}
	if (cfg.NATSCert == "") != (cfg.NATSKey == "") {
		f.add("NATS_CERT", "and NATS_KEY go together; set both or none")
	}
	for variable, path := range map[string]string{"NATS_CREDS": cfg.NATSCreds, "NATS_CA": cfg.NATSCA,
		"NATS_CERT": cfg.NATSCert, "NATS_KEY": cfg.NATSKey} {
		checkFile(variable, path, f)
	}
	checkAddress("NATS_LISTEN", cfg.NATSListen, f)
}

// names are what JetStream allows and what needs no quoting anywhere.
var (
	streamName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	deploymentName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
)

func checkNames(cfg *Config, f *faults) {
	for i, name := range cfg.Streams {
		cfg.Streams[i] = strings.TrimSpace(name)
		if !streamName.MatchString(cfg.Streams[i]) {
			f.add("STREAMS", "must hold names of 1 to 64 letters, digits, _ and -, separated by commas")
		}
		if slices.Contains(cfg.Streams[:i], cfg.Streams[i]) {
			f.add("STREAMS", "names "+cfg.Streams[i]+" twice; name each stream once")
		}
	}
	if !deploymentName.MatchString(cfg.Deployment) {
		f.add("DEPLOYMENT", fmt.Sprintf("%q is not a name of 1 to 32 letters, digits, _ and -", cfg.Deployment))
	}
}

func checkStore(cfg *Config, f *faults) {
	for variable, secret := range map[string]Secret{"DATABASE_URL": cfg.DatabaseURL, "DATABASE_URL_DIRECT": cfg.DatabaseURLDirect} {
		if !secret.IsSet() {
			continue
		}
		// Neither the URL nor the parser's error may be shown: a password with a slash in it ends up in the port.
		u, err := url.Parse(secret.Reveal())
		if err != nil || u.Hostname() == "" || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			f.add(variable, "is not a URL such as postgres://user:password@host/database; "+
				"special characters of the password are written %XX")
		}
	}
	if cfg.DatabaseURLDirect.IsSet() && !cfg.DatabaseURL.IsSet() {
		f.add("DATABASE_URL_DIRECT", "is set without DATABASE_URL; set that too")
	}
}

func checkAPI(cfg *Config, f *faults) {
	checkAddress("HTTP_ADDR", cfg.HTTPAddr, f)
	for variable, path := range map[string]string{"API_KEYS_FILE": cfg.APIKeysFile, "HTTP_CERT": cfg.HTTPCert, "HTTP_KEY": cfg.HTTPKey} {
		checkFile(variable, path, f)
	}
	if (cfg.HTTPCert == "") != (cfg.HTTPKey == "") {
		f.add("HTTP_CERT", "and HTTP_KEY go together; set both or none")
	}
	if cfg.APIRateLimit < 0 || cfg.APIRateLimit > maxRateLimit {
		f.add("API_RATE_LIMIT", fmt.Sprintf("must be from 0 to %d; 0 is any number of requests", maxRateLimit))
	}
	checkOrigins(cfg, f)
	if cfg.RunIdleTimeout <= 0 {
		f.add("RUN_IDLE_TIMEOUT", "must be longer than nothing; write a time such as 30m")
	}
	if cfg.DeadLetterLimit < 1 {
		f.add("DEADLETTER_LIMIT", "must be at least 1")
	}
	if cfg.LogFormat != "text" && cfg.LogFormat != "json" {
		f.add("LOG_FORMAT", fmt.Sprintf("%q is not text or json", cfg.LogFormat))
	}
}

// maxRateLimit is more than any client sends.
const maxRateLimit = 1_000_000

func checkOrigins(cfg *Config, f *faults) {
	for i, origin := range cfg.CORSOrigins {
		cfg.CORSOrigins[i] = strings.TrimSpace(origin)
		if err := query.CheckOrigin(cfg.CORSOrigins[i]); err != nil {
			f.add("CORS_ORIGINS", fmt.Sprintf("%q %v", cfg.CORSOrigins[i], err))
		}
	}
	if len(cfg.CORSOrigins) > 0 && cfg.APIKeysFile == "" {
		f.add("CORS_ORIGINS", "is set without API_KEYS_FILE; set that too, or every page of these origins could do everything")
	}
}

var (
	// tableName is what Dataverse allows: a publisher's prefix and a name.
	tableName = regexp.MustCompile(`^[a-z][a-z0-9]*_[a-z0-9_]+$`)
	// tenantName is an id or a domain: it becomes a part of the token endpoint's path.
	tenantName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)
)

func checkDataverse(cfg *Config, f *faults) {
	urlVariable := "DATAVERSE_URL"
	if cfg.DataverseURL == cfg.DataverseURLStudio {
		urlVariable = "NEXT_PUBLIC_DATAVERSE_URL"
	}
	for variable, address := range map[string]string{urlVariable: cfg.DataverseURL, "DATAVERSE_AUTHORITY": cfg.DataverseAuthority} {
		u, err := url.Parse(address)
		switch {
		case address == "":
		case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			f.add(variable, "is not https:// and a host and nothing else, such as https://contoso.crm.dynamics.com")
		case u.Scheme != "https" && !(u.Scheme == "http" && query.IsLoopback(net.JoinHostPort(u.Hostname(), "0"))):
			f.add(variable, "must begin with https://; http:// is for loopback addresses only")
		}
	}
	if cfg.DataverseTenantID != "" && !tenantName.MatchString(cfg.DataverseTenantID) {
		f.add("DATAVERSE_TENANT_ID", "is neither the id of a Microsoft Entra tenant nor a domain such as contoso.onmicrosoft.com")
	}
	if !tableName.MatchString(cfg.DataverseTable) || len(cfg.DataverseTable) > 50 {
		f.add("DATAVERSE_TABLE", fmt.Sprintf("%q is not a logical name such as %s", cfg.DataverseTable, dataverse.DefaultTable))
	}
	if cfg.DataverseMinInterval < 0 {
		f.add("DATAVERSE_MIN_INTERVAL", "must not be negative; write a time such as 1s")
	}
	if cfg.DataverseDailyBudget < 0 {
		f.add("DATAVERSE_DAILY_BUDGET", "must not be negative; 0 is any number of rows")
	}
}

// needDataverse wants all that it takes to reach an organization.
func needDataverse(cfg *Config, f *faults) {
	trial := " (`runmetrics dataverse-emulator` prints all of them for a trial)" // once
	for _, need := range []struct {
		variable, what string
		set            bool
	}{
		{"DATAVERSE_URL", "the organization's URL, such as https://contoso.crm.dynamics.com", cfg.DataverseURL != ""},
		{"DATAVERSE_TENANT_ID", "the id or domain of the Microsoft Entra tenant", cfg.DataverseTenantID != ""},
		{"DATAVERSE_CLIENT_ID", "the id of an app registration", cfg.DataverseClientID != ""},
		{"DATAVERSE_CLIENT_SECRET", "a client secret of it, or DATAVERSE_CLIENT_SECRET_FILE to a file that holds it", cfg.DataverseClientSecret.IsSet()},
	} {
		if !need.set {
			f.add(need.variable, "is missing; set it to "+need.what+trial)
			trial = ""
		}
	}
}

// checkAddress wants host:port, where the port is a number and 0 means any free one.
func checkAddress(variable, address string, f *faults) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		f.add(variable, fmt.Sprintf("%q is not host:port; write it like 127.0.0.1:8080", address))
	}
}

func checkFile(variable, path string, f *faults) {
	if path == "" {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		f.add(variable, fileProblem(err, "cannot be read"))
		return
	}
	file.Close()
}
