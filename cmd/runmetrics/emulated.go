package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// emulatorListen is where an emulator listens that nobody told otherwise.
const emulatorListen = "127.0.0.1:8900"

// What the emulator accepts: any tenant, and this client.
const (
	emulatorTenant = "emulator"
	emulatorClient = "emulator"
	emulatorSecret = "emulator"
)

// emulatedDataverse is an emulator with its listener.
type emulatedDataverse struct {
	emulator *emulator.Emulator
	listener net.Listener
}

// openEmulated starts an emulator for dev, whose rows survive with the rest of DATA_DIR, and points the configuration to
// it. Where the usual port is taken it listens on another.
func openEmulated(cfg *Config, log *slog.Logger) (*emulatedDataverse, error) {
	listener, err := net.Listen("tcp", emulatorListen)
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("open the Dataverse emulator: %w", err)
	}
	e, err := emulator.New(emulator.Config{Dir: filepath.Join(cfg.DataDir, "dataverse"), Limits: emulator.DefaultLimits(), Log: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the Dataverse emulator: %w", err), listener.Close())
	}
	d := &emulatedDataverse{emulator: e, listener: listener}
	cfg.DataverseURL, cfg.DataverseAuthority = d.url(), d.url()
	cfg.DataverseTenantID, cfg.DataverseClientID = emulatorTenant, emulatorClient
	cfg.DataverseClientSecret = NewSecret(emulatorSecret)
	return d, nil
}

// url is where it can be reached on this machine.
func (d *emulatedDataverse) url() string {
	address := d.listener.Addr().(*net.TCPAddr)
	if address.IP.IsUnspecified() { // all addresses are no address
		return fmt.Sprintf("http://127.0.0.1:%d", address.Port)
	}
	return "http://" + address.String()
}

// serve answers until the context ends.
func (d *emulatedDataverse) serve(ctx context.Context) error {
	server := &http.Server{Handler: d.emulator, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // its clients know how to deal with that
	defer stop()
	if err := server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the Dataverse emulator: %w", err)
	}
	return nil
}

// close writes what is not on disk yet.
func (d *emulatedDataverse) close() error {
	if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return errors.Join(err, d.emulator.Close())
	}
	return d.emulator.Close()
}
