package query

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// Certificate is what a server shows to its clients, with the private key to it, from two files in PEM that may change.
type Certificate struct {
	paths   []string
	digest  [sha256.Size]byte // of what was loaded first
	current atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads the files. The error says what is wrong with them and quotes nothing.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{paths: []string{certFile, keyFile}}
	contents, err := readFiles(c.paths)
	if err != nil {
		return nil, err
	}
	c.digest = digestOf(contents, nil)
	return c, c.take(contents)
}

func (c *Certificate) take(contents [][]byte) error {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	switch {
	case err != nil:
		return err
	case time.Now().After(pair.Leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.current.Store(&pair)
	return nil
}

// Follow reads the files again whenever they change, until the context ends. New connections get the new certificate
// within five seconds. A file with a fault is logged and changes nothing.
func (c *Certificate) Follow(ctx context.Context, log *slog.Logger) {
	follow(ctx, log, c.digest, c.take, c.paths...)
}

// Listen makes a listener one of TLS, version 1.2 or later.
func (c *Certificate) Listen(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	})
}
