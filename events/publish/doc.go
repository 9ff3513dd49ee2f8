// Package publish is what an agent runtime written in Go imports to tell runmetrics of its runs.
//
// It publishes events to JetStream over any connection of nats.go, many at a time, and promises:
//
//   - An event that breaks the contract is an *events.Rejection that names every bad field, before anything is sent.
//   - Publish does not wait for the stream, unless as many messages are under way as Config.MaxInFlight allows; then it
//     waits for room. So memory is bounded whatever happens to the broker.
//   - A message that is not acknowledged is sent again, the same bytes with the same message id: JetStream drops the
//     repetition for two minutes, and runmetrics knows the event by its id for ever. It is counted once.
//   - While the connection is lost nothing is given up. While there is one, a message is tried for Config.Patience.
//   - Every event for which Publish returned nil is acknowledged by the stream, or is part of the error of the next Flush
//     or Close, and Config.GivenUp gets it. Nothing disappears in between.
//   - After Close nothing is left running.
//
// A runtime that follows its agents from beginning to end uses a RunHandle, which fills in ids, times, attempts and
// latencies. Begin with Connect, New and Publisher.StartRun, and end with Close.
package publish
