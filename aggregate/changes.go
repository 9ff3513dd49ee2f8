package aggregate

import "iter"

// LatencyChanges say what events changed in the multiset of latencies that a run's average and percentiles are over: a
// value of 0 or more is milliseconds that were added, one below is ^milliseconds that were taken out again, because a
// later attempt or a void replaced their execution. The changes of all commits of a run add up to its latencies, and
// those of several runs to the latencies of all of them, which their percentiles do not.
type LatencyChanges []int32

// TakeLatencyChanges returns what changed since it was last called, or since the run was made. It is never nil.
func (r *Run) TakeLatencyChanges() LatencyChanges {
	r.settle()
	taken := r.changes
	r.changes = nil
	if taken == nil {
		return LatencyChanges{}
	}
	return taken
}

func (r *Run) changed(c int32) {
	if r.changes == nil {
		r.changes = make(LatencyChanges, 0, 8) // as small runs have them at once
	}
	r.changes = append(r.changes, c)
}

// between appends what makes one multiset out of another.
func (c LatencyChanges) between(before, after *latencies) LatencyChanges {
	old, endOld := iter.Pull(before.all)
	defer endOld()
	now, endNow := iter.Pull(after.all)
	defer endNow()
	out, left := old()
	in, added := now()
	for left || added {
		switch {
		case left && (!added || out < in):
			c = append(c, ^out)
			out, left = old()
		case added && (!left || in < out):
			c = append(c, in)
			in, added = now()
		default:
			out, left = old()
			in, added = now()
		}
	}
	return c
}

// all goes through the values in ascending order.
func (l *latencies) all(yield func(int32) bool) {
	for _, block := range l.blocks {
		for _, ms := range block {
			if !yield(ms) {
				return
			}
		}
	}
}
