// Package replay reads the events of streams and archives and compares what they add up to with what is stored.
//
// A Source gives the messages of one stream, or the lines of one file, in their order, as far as they lie in its range
// and may belong to a run of its filter. Reading changes nothing and disturbs no reader of the live pipeline: a stream is
// read through a consumer of its own, which the broker forgets by itself if this process dies.
//
// A Comparison sorts the events of all sources by run, in a file without a name, so that its memory does not grow with the
// number of runs however interleaved they are. Then it goes from run to run: the stored events and those of the sources
// together are folded as the live pipeline does it, and what comes out is compared with the stored record. What is
// missing or wrong is amended, if that is wanted, on top of the version that was read; where the live pipeline was
// faster, the run is read and compared again.
//
// It promises that no execution is ever removed, and that a right figure is never made wrong: a run is left alone where what
// is stored and the sources together may lack events of it. A crash at any point leaves runs that are repaired and runs that
// are as they were, and the next comparison finds the latter.
package replay
