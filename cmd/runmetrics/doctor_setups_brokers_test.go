package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// testServer runs a NATS server on 127.0.0.1 as a configuration says, until the test ends.
func testServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir()}
	if change != nil {
		change(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s
}

// using is the environment of programs that use a server.
func using(t *testing.T, address string) map[string]string {
	t.Helper()
	return map[string]string{"NATS_URL": address, "DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0",
		"HTTP_ADDR": "127.0.0.1:0"}
}

// userAt puts a user into the URL of a server.
func userAt(address, user string) string { return strings.Replace(address, "://", "://"+user+"@", 1) }

// at returns the URL with another scheme and host.
func at(t *testing.T, address, scheme, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return scheme + "://" + net.JoinHostPort(host, u.Port())
}

// listensLater starts a server at the address where one is missed, as its change says.
func listensLater(address string, change func(*server.Options)) func(*testing.T, *broken, string) {
	return func(t *testing.T, _ *broken, _ string) {
		_, port, _ := net.SplitHostPort(address)
		testServer(t, func(o *server.Options) {
			o.Port, _ = strconv.Atoi(port)
			if change != nil {
				change(o)
			}
		})
	}
}

// tlsServer has a certificate for metrics.test from an authority of its own, whose file it returns.
func tlsServer(t *testing.T) (s *server.Server, authority string) {
	t.Helper()
	cert, key := writeNamedCertificate(t, time.Now().Add(time.Hour*24*90), "metrics.test")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return testServer(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		o.TLSTimeout = 5
	}), cert
}

// greeter says a line to whoever connects, and nothing more.
func greeter(t *testing.T, line string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, line)
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String()
}

// oddStream is a broker that was set up, and whose stream was then made anew by somebody who wants other things of it.
func oddStream(t *testing.T, change func(*jetstream.StreamConfig)) (jetstream.JetStream, map[string]string) {
	t.Helper()
	b, environ := setUpBroker(t)
	js := testJetStream(t, b)
	readers := madeBySetup(t, js)
	config := consumer.StreamConfig("RUN_EVENTS", 100_000_000)
	change(&config)
	if err := js.DeleteStream(t.Context(), "RUN_EVENTS"); err != nil {
		t.Fatal(err)
	}
	if err := makeStream(t.Context(), js, config); err != nil {
		t.Fatal(err)
	}
	if config.Retention == jetstream.WorkQueuePolicy {
		return js, environ // which takes no consumer such as ours
	}
	for _, config := range readers {
		if _, err := js.CreateConsumer(t.Context(), "RUN_EVENTS", config); err != nil {
			t.Fatal(err)
		}
	}
	return js, environ
}

// madeBySetup are the deployment's consumers as setup made them.
func madeBySetup(t *testing.T, js jetstream.JetStream) (configs []jetstream.ConsumerConfig) {
	t.Helper()
	for _, name := range []string{consumer.ConsumerName("main"), consumer.MessagesName("main")} {
		c, err := js.Consumer(t.Context(), "RUN_EVENTS", name)
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c.CachedInfo().Config)
	}
	return configs
}

// brokenStream is one that setup mends.
func brokenStream(change func(*jetstream.StreamConfig)) func(*testing.T) *broken {
	return func(t *testing.T) *broken {
		_, environ := oddStream(t, change)
		return &broken{environ, runSetup}
	}
}

// lostStream is one that only can be made anew.
func lostStream(change func(*jetstream.StreamConfig)) func(*testing.T) *broken {
	return func(t *testing.T) *broken {
		js, environ := oddStream(t, change)
		return &broken{environ, func(t *testing.T, b *broken, fix string) {
			natsCLI(t, js, fix)
			runSetup(t, b, fix)
		}}
	}
}

// editedStream is one that the nats tool mends.
func editedStream(change func(*jetstream.StreamConfig)) func(*testing.T) *broken {
	return func(t *testing.T) *broken {
		js, environ := oddStream(t, change)
		return &broken{environ, func(t *testing.T, _ *broken, fix string) { natsCLI(t, js, fix) }}
	}
}

// natsCLI does what the nats tool does when it is called as a fix says.
func natsCLI(t *testing.T, js jetstream.JetStream, fix string) {
	t.Helper()
	for _, command := range advised(fix) {
		words := strings.Fields(command)
		if words[0] != "nats" {
			continue
		}
		var err error
		switch what := strings.Join(words[1:3], " "); what {
		case "stream rm":
			err = js.DeleteStream(t.Context(), words[3])
		case "consumer rm":
			err = js.DeleteConsumer(t.Context(), words[3], words[4])
		case "consumer resume":
			_, err = js.ResumeConsumer(t.Context(), words[3], words[4])
		case "stream edit":
			err = editStream(t, js, words[3], words[4])
		default:
			t.Fatalf("do not know how to %s", what)
		}
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return
	}
	t.Fatalf("no call of nats in %q", fix)
}

func editStream(t *testing.T, js jetstream.JetStream, name, flag string) error {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	switch flag {
	case "--max-msgs-per-subject=-1":
		config.MaxMsgsPerSubject = -1
	case "--ack":
		config.NoAck = false
	case "--replicas=3":
		config.Replicas = 3
	case "--no-allow-rollup":
		config.AllowRollup = false
	default:
		t.Fatalf("do not know the flag %s", flag)
	}
	_, err = js.UpdateStream(t.Context(), config)
	return err
}
