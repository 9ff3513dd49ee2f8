package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// oddConsumer is a deployment that was set up, and of which a consumer was then made anew by somebody who wants other things
// of it.
func oddConsumer(t *testing.T, name string, change func(*jetstream.ConsumerConfig)) (jetstream.JetStream, map[string]string) {
	t.Helper()
	b, environ := setUpBroker(t)
	js := testJetStream(t, b)
	reader, err := js.Consumer(t.Context(), "RUN_EVENTS", name)
	if err != nil {
		t.Fatal(err)
	}
	config := reader.CachedInfo().Config
	change(&config)
	if err := js.DeleteConsumer(t.Context(), "RUN_EVENTS", name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "RUN_EVENTS", config); err != nil {
		t.Fatal(err)
	}
	return js, environ
}

func TestDoctorFindsWhatKeepsAStreamFromBeingRead(t *testing.T) {
	t.Parallel()
	notInShort(t)
	const subject, messages = "consumer runmetrics-main", "runmetrics_messages-main"
	testSetups(t, []badSetup{
		{"no consumer", func(t *testing.T) *broken {
			b, environ := setUpBroker(t)
			if err := testJetStream(t, b).DeleteConsumer(t.Context(), "RUN_EVENTS", "runmetrics-main"); err != nil {
				t.Fatal(err)
			}
			return &broken{environ, runSetup}
		}, verdictFail, "nats", subject, []string{"is missing on stream RUN_EVENTS"}, []string{"runmetrics setup"}},
		{"another database's consumer", func(t *testing.T) *broken {
			_, environ := setUpBroker(t)
			moved := with(environ, map[string]string{"DATA_DIR": t.TempDir()})
			call(t, moved, "", "setup").want(t, exitFailure) // it makes the file, and refuses the consumer
			return &broken{moved, runSetup}
		}, verdictFail, "nats", subject, []string{"belongs to another database"}, []string{"runmetrics setup --adopt"}},
		{"a paused consumer", func(t *testing.T) *broken {
			later := time.Now().Add(time.Hour)
			js, environ := oddConsumer(t, "runmetrics-main", func(c *jetstream.ConsumerConfig) { c.PauseUntil = &later })
			return &broken{environ, func(t *testing.T, _ *broken, fix string) { natsCLI(t, js, fix) }}
		}, verdictFail, "nats", subject, []string{"it is paused"},
			[]string{"nats consumer resume RUN_EVENTS runmetrics-main"}},
		{"a consumer of some runs", func(t *testing.T) *broken {
			js, environ := oddConsumer(t, messages, func(c *jetstream.ConsumerConfig) { c.FilterSubject = "runs.a.*" })
			return &broken{environ, func(t *testing.T, b *broken, fix string) {
				natsCLI(t, js, fix)
				runSetup(t, b, fix)
			}}
		}, verdictFail, "nats", "consumer " + messages, []string{"runs.a.* only"},
			[]string{"nats consumer rm RUN_EVENTS " + messages, "runmetrics setup"}},
		{"nobody reads", func(t *testing.T) *broken {
			_, environ := setUpBroker(t)
			return &broken{environ, func(t *testing.T, b *broken, _ string) {
				startService(t, with(b.environ, map[string]string{"LOG_FORMAT": "json"})).up(t)
			}}
		}, verdictWarn, "nats", subject, []string{"nobody reads stream RUN_EVENTS"},
			[]string{"start runmetrics run with DEPLOYMENT=main"}},
	})
}

func TestDoctorFindsWhatTheServerDoesNotGive(t *testing.T) {
	t.Parallel()
	notInShort(t)
	testSetups(t, []badSetup{
		{"a right is missing", func(t *testing.T) *broken {
			g := startGuarded(t)
			call(t, g.environ, "", "setup").want(t, exitOK)
			const right = `"$JS.API.CONSUMER.UNPIN.RUN_EVENTS.runmetrics-main"`
			g.grant(t, func(users string) string { return strings.ReplaceAll(users, right, `"nothing"`) })
			return &broken{g.as("processor"), func(t *testing.T, _ *broken, _ string) { g.grant(t, nil) }}
		}, verdictFail, "nats", "rights", []string{"does not let this user publish to $JS.API.CONSUMER.UNPIN"},
			[]string{"grant it publish on $JS.API.CONSUMER.UNPIN.RUN_EVENTS.runmetrics-main"}},
		{"an account that is nearly full", func(t *testing.T) *broken {
			s := testServer(t, nil)
			limits := func(most int64) {
				account, err := s.LookupAccount(server.DEFAULT_GLOBAL_ACCOUNT)
				if err == nil {
					err = account.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": {MaxMemory: -1,
						MaxStore: most, MaxStreams: -1, MaxConsumers: -1}})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			environ := using(t, s.ClientURL())
			call(t, environ, "", "setup", "--max-bytes", "900KB").want(t, exitOK)
			js := jetStreamAt(t, s.ClientURL())
			if _, err := js.Publish(t.Context(), "runs.c.r", make([]byte, 700_000)); err != nil {
				t.Fatal(err)
			}
			limits(800_000)
			return &broken{environ, func(*testing.T, *broken, string) { limits(10_000_000) }}
		}, verdictWarn, "nats", "account", []string{"of the 800 kB that it may"},
			[]string{"raise max_file of the account"}},
		{"one copy in a cluster", func(t *testing.T) *broken {
			first := cluster(t)
			environ := using(t, first.ClientURL())
			eventually(t, "the cluster takes streams", func() bool {
				return call(t, environ, "", "setup",
					"--max-bytes", "10MB").code == exitOK
			})
			js := jetStreamAt(t, first.ClientURL())
			return &broken{environ, func(t *testing.T, b *broken, fix string) {
				natsCLI(t, js, fix)
				eventually(t, "all copies are up to date", func() bool {
					for _, c := range diagnose(t, b.environ).Checks {
						if c.Finding == "3 copies, all up to date" {
							return true
						}
					}
					return false
				})
			}}
		}, verdictWarn, "nats", "stream RUN_EVENTS", []string{"one copy, in cluster C"},
			[]string{"nats stream edit RUN_EVENTS --replicas=3"}},
		{"the clock of NATS, by a year", func(t *testing.T) *broken {
			b, environ := setUpBroker(t)
			wrong := new(atomic.Bool)
			wrong.Store(true)
			environ["NATS_URL"] = "nats://" + otherTime(t, b.server.Addr().String(), wrong)
			return &broken{environ, func(*testing.T, *broken, string) { wrong.Store(false) }}
		}, verdictFail, "clock", "the NATS server", []string{"behind this machine's", "dead letters"},
			[]string{"timedatectl set-ntp true"}},
	})
}

// cluster is three servers of one cluster, of which it returns one.
func cluster(t *testing.T) *server.Server {
	t.Helper()
	var routes []string
	for range 3 {
		routes = append(routes, idleAddress(t))
	}
	var all []*server.Server
	for i, route := range routes {
		_, port, _ := net.SplitHostPort(route)
		options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(),
			ServerName: fmt.Sprintf("S%d", i), Routes: server.RoutesFromStr("nats://" + strings.Join(routes, ",nats://"))}
		options.Cluster.Name, options.Cluster.Host = "C", "127.0.0.1"
		if _, err := fmt.Sscan(port, &options.Cluster.Port); err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		all = append(all, s)
	}
	eventually(t, "the cluster has a leader", func() bool {
		for _, s := range all {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == len(all)
			}
		}
		return false
	})
	return all[0]
}

// otherTime is a way to a NATS server on which the answers about streams are a year old, as long as wrong is true.
func otherTime(t *testing.T, to string, wrong *atomic.Bool) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	now := fmt.Appendf(nil, `"ts":"%d-`, time.Now().UTC().Year())
	then := fmt.Appendf(nil, `"ts":"%d-`, time.Now().UTC().Year()-1)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			open.Go(func() { _, _ = io.Copy(server, client); server.Close() })
			open.Go(func() {
				defer client.Close()
				for buffer := make([]byte, 1<<16); ; {
					n, err := server.Read(buffer)
					text := buffer[:n]
					if wrong.Load() {
						text = bytes.ReplaceAll(text, now, then)
					}
					if _, failed := client.Write(text); err != nil || failed != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String()
}
