package aggregate

import "slices"

// blockSize bounds the work of one insertion: at most this many values move.
const blockSize = 1024

// latencies is a multiset of milliseconds that answers exact order statistics. It keeps sorted blocks of at most
// blockSize values, so adding to a million values costs as much as adding to ten thousand, and a rank is found by
// walking the blocks' lengths: about 2,000 for a million values.
type latencies struct {
	blocks [][]int32
	count  int
	sum    int64 // 2^31 ms for each of 2^32 values fit
}

// block returns the index of the block that holds ms, or into which it belongs.
func (l *latencies) block(ms int32) int {
	i, _ := slices.BinarySearchFunc(l.blocks, ms, func(b []int32, ms int32) int {
		return int(int64(b[len(b)-1]) - int64(ms))
	})
	return min(i, len(l.blocks)-1)
}

func (l *latencies) add(ms int32) {
	l.count++
	l.sum += int64(ms)
	if len(l.blocks) == 0 {
		l.blocks = append(l.blocks, append(make([]int32, 0, 8), ms))
		return
	}
	i := l.block(ms)
	b := l.blocks[i]
	at, _ := slices.BinarySearch(b, ms)
	b = slices.Insert(b, at, ms)
	l.blocks[i] = b
	if len(b) == blockSize {
		half := slices.Clone(b[blockSize/2:])
		l.blocks[i] = b[:blockSize/2]
		l.blocks = slices.Insert(l.blocks, i+1, half)
	}
}

// remove takes out one value that was added before.
func (l *latencies) remove(ms int32) {
	i := l.block(ms)
	at, found := slices.BinarySearch(l.blocks[i], ms)
	if !found {
		panic("aggregate: removed a latency that was never added")
	}
	l.count--
	l.sum -= int64(ms)
	l.blocks[i] = slices.Delete(l.blocks[i], at, at+1)
	if len(l.blocks[i]) == 0 {
		l.blocks = slices.Delete(l.blocks, i, i+1)
	}
}

// at returns the value of the given rank, counted from 1.
func (l *latencies) at(rank int) int64 {
	for _, b := range l.blocks {
		if rank <= len(b) {
			return int64(b[rank-1])
		}
		rank -= len(b)
	}
	return 0
}

// percentile is the nearest rank: the value of rank ceil(percent·n/100), always an observed one. Postgres calls it
// percentile_disc.
func (l *latencies) percentile(percent int) int64 {
	return l.at((percent*l.count + 99) / 100)
}

// average is rounded half up.
func (l *latencies) average() int64 {
	n := int64(l.count)
	return (2*l.sum + n) / (2 * n)
}
