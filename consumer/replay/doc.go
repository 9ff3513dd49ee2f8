// Package replay reads the events of streams and archives and compares what they add up to with what is stored.
//
// A Source gives the messages of one stream, or the lines of one file, in their order, as far as they lie in its range
// and may belong to a run of its filter. Reading changes nothing and disturbs no reader of the live pipeline: a stream is
// read through a consumer of its own, which the broker forgets by itself if this process dies.
package replay
