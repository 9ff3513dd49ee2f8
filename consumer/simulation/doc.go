// Package simulation proves package consumer's promise: every event is applied exactly once or is a dead letter, whatever
// happens on the way. It has tests only.
//
// A history is drawn at random: events of a few runs, repeated, conflicting, late and malformed, and between them
// everything that may go wrong, at every side effect and in both of its forms: replicas that are killed, paused for longer
// than their pin lives and woken, rivals that reset, unpin and delete the consumer, cut connections, lost requests, answers
// and acknowledgements, a broker that restarts, a stream that is made anew, commits that fail, that fail and are stored,
// and that are stored long after their client died, and a database that is restored to an earlier time.
//
// It is played against a real NATS server and a real database, in virtual time (testing/synctest): minutes pass in
// milliseconds, and pins, pings and retries live as long as in production. After each step, and once everything has
// healed, every table of the store must be what an oracle makes of the stream up to the stored position.
//
//	make sim RUNS=1000 SEED=1
//
// A history that fails is shrunk and printed with its seed. What is drawn follows from the seed; the order in which
// goroutines run does not.
package simulation
