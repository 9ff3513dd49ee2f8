package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

func TestDoctorFindsWhyNATSCannotBeReached(t *testing.T) {
	t.Parallel()
	notInShort(t)
	testSetups(t, []badSetup{
		{"nobody listens", func(t *testing.T) *broken {
			address := idleAddress(t)
			return &broken{using(t, "nats://"+address), listensLater(address, nil)}
		}, verdictFail, "nats", "server", []string{"nobody listens at 127.0.0.1:"}, []string{"start the server there"}},
		{"the name is not known", func(t *testing.T) *broken {
			s := testServer(t, nil)
			return &broken{using(t, at(t, s.ClientURL(), "nats", "nowhere.test")),
				set(map[string]string{"NATS_URL": s.ClientURL()})}
		}, verdictFail, "nats", "server", []string{"the name nowhere.test is not known"},
			[]string{"correct the host in NATS_URL"}},
		{"wrong password", func(t *testing.T) *broken {
			s := testServer(t, func(o *server.Options) { o.Users = []*server.User{{Username: "run", Password: "right"}} })
			return &broken{using(t, userAt(s.ClientURL(), "run:hunter2")),
				set(map[string]string{"NATS_URL": userAt(s.ClientURL(), "run:right")})}
		}, verdictFail, "nats", "server", []string{"refuses the user"}, []string{"correct user and password in NATS_URL"}},
		{"no user", func(t *testing.T) *broken {
			s := testServer(t, func(o *server.Options) { o.Users = []*server.User{{Username: "run", Password: "right"}} })
			return &broken{using(t, s.ClientURL()), set(map[string]string{"NATS_URL": userAt(s.ClientURL(), "run:right")})}
		}, verdictFail, "nats", "server", []string{"refuses the user"},
			[]string{"name a user: NATS_URL=nats://user:password@host:4222"}},
		{"an authority that is not known", func(t *testing.T) *broken {
			s, authority := tlsServer(t)
			return &broken{using(t, at(t, s.ClientURL(), "tls", "metrics.test")),
				set(map[string]string{"NATS_CA": authority})}
		}, verdictFail, "nats", "server", []string{"of an authority that this machine does not know"},
			[]string{"set NATS_CA"}},
		{"a certificate for another name", func(t *testing.T) *broken {
			s, authority := tlsServer(t)
			environ := with(using(t, at(t, s.ClientURL(), "tls", "127.0.0.1")), map[string]string{"NATS_CA": authority})
			return &broken{environ, set(map[string]string{"NATS_URL": at(t, s.ClientURL(), "tls", "metrics.test")})}
		}, verdictFail, "nats", "server", []string{"is for metrics.test"},
			[]string{"one of these names as the host in NATS_URL"}},
		{"TLS where there is none", func(t *testing.T) *broken {
			s := testServer(t, nil)
			return &broken{using(t, at(t, s.ClientURL(), "tls", "127.0.0.1")),
				set(map[string]string{"NATS_URL": s.ClientURL()})}
		}, verdictFail, "nats", "server", []string{"speaks none"}, []string{"nats:// in NATS_URL"}},
		{"a server of something else", func(t *testing.T) *broken {
			s := testServer(t, nil)
			return &broken{using(t, "nats://"+greeter(t, "220 mail.test ready\r\n")),
				set(map[string]string{"NATS_URL": s.ClientURL()})}
		}, verdictFail, "nats", "server", []string{"is no NATS server"}, []string{"correct the port in NATS_URL", "4222"}},
		{"a server that says nothing", func(t *testing.T) *broken {
			s := testServer(t, nil)
			return &broken{using(t, "nats://"+greeter(t, "")), set(map[string]string{"NATS_URL": s.ClientURL()})}
		}, verdictFail, "nats", "server", []string{"gives no answer"}, []string{"nc -vz 127.0.0.1 "}},
		{"a server that is too old", func(t *testing.T) *broken {
			s := testServer(t, nil)
			return &broken{using(t, oldServer(t, "2.12.3")), set(map[string]string{"NATS_URL": s.ClientURL()})}
		}, verdictFail, "nats", "server", []string{"version 2.12.3"}, []string{"upgrade the NATS server to 2.14"}},
		{"one of two servers is away", func(t *testing.T) *broken {
			_, environ := setUpBroker(t)
			both := environ["NATS_URL"] + ",nats://" + idleAddress(t)
			return &broken{with(environ, map[string]string{"NATS_URL": both}),
				set(map[string]string{"NATS_URL": environ["NATS_URL"]})}
		}, verdictWarn, "nats", "servers", []string{"of NATS_URL does not answer"}, []string{"take it out of NATS_URL"}},
	})
}

func TestDoctorFindsThatJetStreamIsMissing(t *testing.T) {
	t.Parallel()
	notInShort(t)
	testSetups(t, []badSetup{
		{"JetStream is not enabled", func(t *testing.T) *broken {
			s := testServer(t, func(o *server.Options) { o.JetStream = false })
			address := s.Addr().String()
			return &broken{using(t, s.ClientURL()), func(t *testing.T, b *broken, fix string) {
				s.Shutdown()
				s.WaitForShutdown()
				listensLater(address, nil)(t, b, fix)
			}}
		}, verdictFail, "nats", "JetStream", []string{"not enabled on the server"}, []string{"jetstream { store_dir"}},
		{"JetStream is not enabled for the account", func(t *testing.T) *broken {
			dir := t.TempDir()
			write := func(listen, account string) string {
				path := filepath.Join(dir, "nats.conf")
				text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\naccounts { A { users: [{user: a, "+
					"password: a}]\n%s } }\n",
					listen, filepath.Join(dir, "data"), account)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			options, err := server.ProcessConfigFile(write("127.0.0.1:-1", ""))
			if err != nil {
				t.Fatal(err)
			}
			s := testServer(t, func(o *server.Options) { *o = *options; o.NoSigs, o.NoLog = true, true })
			return &broken{using(t, userAt(s.ClientURL(), "a:a")), func(t *testing.T, _ *broken, fix string) {
				write(s.Addr().String(), advised(fix)[0])
				if err := s.Reload(); err != nil {
					t.Fatal(err)
				}
			}}
		}, verdictFail, "nats", "JetStream", []string{"not enabled for this user's account"},
			[]string{"jetstream: enabled"}},
	})
}

func TestDoctorFindsSettingsOfAStreamThatLoseEvents(t *testing.T) {
	t.Parallel()
	notInShort(t)
	const stream = "stream RUN_EVENTS"
	testSetups(t, []badSetup{
		{"no stream", func(t *testing.T) *broken {
			_, environ := testBroker(t)
			return &broken{environ, runSetup}
		}, verdictFail, "nats", stream, []string{"is missing"}, []string{"runmetrics setup"}},
		{"discard old", brokenStream(func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }),
			verdictFail, "nats", stream, []string{"discard: DiscardOld", "drops its oldest events"},
			[]string{"runmetrics setup"}},
		{"in memory", lostStream(func(c *jetstream.StreamConfig) {
			c.Storage, c.MaxBytes = jetstream.MemoryStorage,
				1_000_000
		}),
			verdictFail, "nats", stream, []string{"storage: Memory", "gone when the server restarts"},
			[]string{"nats stream rm RUN_EVENTS", "runmetrics setup"}},
		{"a work queue", lostStream(func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }),
			verdictFail, "nats", stream, []string{"retention: WorkQueue", "gone once they were read"},
			[]string{"nats stream rm RUN_EVENTS", "runmetrics setup"}},
		{"events live an hour", brokenStream(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }),
			verdictFail, "nats", stream, []string{"max age: 1h0m0s"}, []string{"runmetrics setup"}},
		{"small messages only", brokenStream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }),
			verdictFail, "nats", stream, []string{"max message size: 1000", "refused"}, []string{"runmetrics setup"}},
		{"one event of each run", editedStream(func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }),
			verdictFail, "nats", stream, []string{"at most 1 events of each run"},
			[]string{"nats stream edit RUN_EVENTS --max-msgs-per-subject=-1"}},
		{"no acknowledgements", editedStream(func(c *jetstream.StreamConfig) { c.NoAck = true }),
			verdictFail, "nats", stream, []string{"it acknowledges nothing"},
			[]string{"nats stream edit RUN_EVENTS --ack"}},
		{"events can be deleted", brokenStream(func(c *jetstream.StreamConfig) { c.DenyDelete = false }),
			verdictWarn, "nats", stream, []string{"deny delete: false"}, []string{"runmetrics setup"}},
		{"publishers may purge", editedStream(func(c *jetstream.StreamConfig) { c.AllowRollup = true }),
			verdictWarn, "nats", stream, []string{"may delete older events by a header"},
			[]string{"nats stream edit RUN_EVENTS --no-allow-rollup"}},
		{"few messages only", brokenStream(func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 }),
			verdictWarn, "nats", stream, []string{"max messages: 1000", "refused"}, []string{"runmetrics setup"}},
		{"no limit of bytes", brokenStream(func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }),
			verdictWarn, "nats", stream, []string{"max bytes: -1", "fill the disk"}, []string{"runmetrics setup"}},
		{"other subjects", brokenStream(func(c *jetstream.StreamConfig) { c.Subjects = []string{"runs.a.*"} }),
			verdictFail, "nats", stream, []string{"subjects: runs.a.* → runs.>", "may go nowhere"},
			[]string{"runmetrics setup"}},
		{"a full stream", func(t *testing.T) *broken {
			js, environ := oddStream(t, func(c *jetstream.StreamConfig) { c.MaxBytes = 2_000_000 })
			for range 2 {
				if _, err := js.Publish(t.Context(), "runs.c.r", make([]byte, 980_000)); err != nil {
					t.Fatal(err)
				}
			}
			return &broken{environ, runSetup}
		}, verdictFail, "nats", stream, []string{"it is full, publishers are refused"},
			[]string{"runmetrics setup --max-bytes 4MB"}},
	})
}
