package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTime is how long a healthy process may take to say so.
const healthTime = 2 * time.Second

func (a *app) healthcheck() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the service at HTTP_ADDR whether it is alive",
		Long: `healthcheck asks /healthz of the service at HTTP_ADDR on this machine and ends with 0 if it is alive, else 1. It is for
images that have no other HTTP client. HTTP_ADDR and HTTP_CERT are all that it reads: a fault elsewhere in the environment
is the service's own, which does not start with one.`,
		Example: `  runmetrics healthcheck
  HTTP_ADDR=0.0.0.0:9000 runmetrics healthcheck`,
		Args: cobra.NoArgs,
		RunE: a.enter(func(ctx context.Context, _ []string) error {
			cfg, f := new(Config), new(faults)
			vars := f.merge(a.environ, a.envFile)
			if len(f.list) > 0 {
				return &configError{faults: f.list}
			}
			f.parse(cfg, vars)
			return checkHealth(ctx, cfg)
		}),
	}
}

func checkHealth(ctx context.Context, cfg *Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	host, port, err := net.SplitHostPort(cfg.HTTPAddr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // not localhost, a name that an empty image cannot look up
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, apiScheme(cfg)+"://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	// The certificate is made out to the name that clients use, not to this machine's own address, and nothing that is
	// asked here is secret.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for health: %s", response.Status)
	}
	return nil
}
