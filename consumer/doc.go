// Package consumer is the pipeline: it reads one stream, folds its events and commits them, exactly once.
//
// A Reader works in sessions. A session begins by reading the position from the store, never from memory, and ends on
// the first doubt: a failed commit, a moved position, a lost connection. The next one starts over. So there is one way
// to recover, it is the way to start, and it is taken all the time. A session goes round these steps:
//
//  1. fetch: a first consumer gives one reader at a time the pin, and that one sets a second consumer, which tracks
//     nothing, to the position and reads by it (see Consumers). A crash here loses nothing.
//  2. accept: a message counts only if it is the stream's next one after the last accepted (see gate). Whatever the
//     broker redelivers, reorders or skips is dropped here or asked for again.
//  3. decode and fold: good events change runs in memory, others become dead letters. A crash here loses memory only.
//  4. commit: what arrived while the last commit was on its way becomes the next one, in one transaction with the position.
//     A crash here leaves it open whether the batch was stored; the position tells.
//  5. tell: everybody who listens gets the changed records, and once in a while the broker is told how far we are, which
//     is a hint. A crash here costs an announcement: the next session tells where the store stands, and who was told of
//     less reads it.
//
// Nothing is acknowledged to the broker: the position in the store says what is done. Correctness rests on the
// compare-and-set of that position alone. The pin only keeps replicas from working twice, and Shares only divides streams
// among them.
package consumer
