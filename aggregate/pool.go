package aggregate

// Pool collects the latencies of many runs, so that their percentiles are those of all agents and not of some runs'
// percentiles. It takes four bytes for each change, and nothing is ever sorted: ten million take about 0.1 s.
type Pool struct {
	blocks [][]int32 // changes, as LatencyChanges has them
}

const poolBlock = 1 << 16

// Change adds a change of LatencyChanges.
func (p *Pool) Change(c int32) {
	last := len(p.blocks) - 1
	switch {
	case last < 0:
		p.blocks = [][]int32{nil} // most pools are small
		last++
	case len(p.blocks[last]) == poolBlock:
		p.blocks = append(p.blocks, make([]int32, 0, poolBlock))
		last++
	}
	p.blocks[last] = append(p.blocks[last], c)
}

// LatencyStats are the order statistics of a pool.
type LatencyStats struct {
	Count int64 // latencies in the pool
	// AvgMs is rounded half up, the percentiles are by nearest rank; all are nil where Count is 0.
	AvgMs, P50Ms, P95Ms, P99Ms, MaxMs *int64
}

// Stats returns the statistics of what was added and not taken out. False means that something was seen to be taken out
// that was never added: the changes are not those of whole runs.
func (p *Pool) Stats() (LatencyStats, bool) {
	h := p.count(func(ms int32) int { return int(ms >> lowBits) })
	count, sum := int64(0), p.sum()
	for _, n := range h {
		if n < 0 {
			return LatencyStats{}, false
		}
		count += n
	}
	if count == 0 {
		return LatencyStats{}, sum == 0
	}
	whole := true
	percentile := func(percent int64) *int64 {
		ms, found := p.at((percent*count+99)/100, h)
		whole = whole && found
		return &ms
	}
	s := LatencyStats{Count: count, AvgMs: ptr((2*sum + count) / (2 * count)),
		P50Ms: percentile(50), P95Ms: percentile(95), P99Ms: percentile(99), MaxMs: percentile(100)}
	return s, whole
}

// A latency has 31 bits. They are counted by their upper half first, and then by the lower half those that share the upper
// half of the value looked for.
const (
	lowBits = 15
	lowMask = 1<<lowBits - 1
)

// at returns the value of a rank, counted from 1. By upper halves it is known how many there are.
func (p *Pool) at(rank int64, upper []int64) (ms int64, found bool) {
	high, rank := ranked(upper, rank)
	low, rank := ranked(p.count(func(ms int32) int {
		if int(ms>>lowBits) != high {
			return -1
		}
		return int(ms & lowMask)
	}), rank)
	return int64(high)<<lowBits | int64(low), rank > 0
}

// ranked returns where the rank lies, and which rank it is there; 0 where there are fewer.
func ranked(counts []int64, rank int64) (int, int64) {
	for i, n := range counts {
		if rank <= n {
			return i, rank
		}
		rank -= n
	}
	return 0, 0
}

// count counts by what index says of each latency, below 0 is not at all.
func (p *Pool) count(index func(ms int32) int) []int64 {
	counts := make([]int64, 1<<(31-lowBits))
	for _, block := range p.blocks {
		for _, c := range block {
			n := int64(1)
			if c < 0 {
				c, n = ^c, -1
			}
			if i := index(c); i >= 0 {
				counts[i] += n
			}
		}
	}
	return counts
}

// sum is in milliseconds.
func (p *Pool) sum() (sum int64) {
	for _, block := range p.blocks {
		for _, c := range block {
			if c < 0 {
				sum -= int64(^c)
			} else {
				sum += int64(c)
			}
		}
	}
	return sum
}
