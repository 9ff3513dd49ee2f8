// Package events is the contract: what an agent runtime may say about a run, and how it is said on the wire.
//
// It promises that Decode accepts exactly the events of contract version 1, names every bad field of the others, never
// panics, never rounds money through a float, and that an accepted event encodes back to the same event. It knows
// nothing of NATS, databases or clocks; the time against which a far future is judged comes with the message.
//
// A producer needs Event, Subject and MessageID; a consumer needs Decode.
package events
