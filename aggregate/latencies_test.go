package aggregate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// checkLatencies compares the multiset with the sorted values that it must hold.
func checkLatencies(t *testing.T, l *latencies, sorted []int32) {
	t.Helper()
	var sum int64
	for _, ms := range sorted {
		sum += int64(ms)
	}
	if l.count != len(sorted) || l.sum != sum {
		t.Fatalf("count %d and sum %d, want %d and %d", l.count, l.sum, len(sorted), sum)
	}
	if !slices.Equal(slices.Concat(l.blocks...), sorted) {
		t.Fatalf("the blocks do not hold the %d values in order", len(sorted))
	}
	for i, b := range l.blocks {
		if len(b) == 0 || len(b) >= blockSize {
			t.Fatalf("block %d of %d has %d values", i, len(l.blocks), len(b))
		}
	}
	for rank := 1; rank <= len(sorted); rank += 1 + len(sorted)/50 {
		if got := l.at(rank); got != int64(sorted[rank-1]) {
			t.Fatalf("rank %d is %d, want %d", rank, got, sorted[rank-1])
		}
	}
}

func TestLatenciesAreASortedMultiset(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand, int) int32{
		"any":        func(r *rand.Rand, _ int) int32 { return r.Int32() },
		"few values": func(r *rand.Rand, _ int) int32 { return r.Int32N(3) },
		"one value":  func(*rand.Rand, int) int32 { return 1<<31 - 1 },
		"ascending":  func(_ *rand.Rand, i int) int32 { return int32(i) },
		"descending": func(_ *rand.Rand, i int) int32 { return int32(100_000 - i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var l latencies
			var sorted []int32
			// It grows to more than three blocks, shrinks to nothing, and does so again.
			for i := range 24_000 {
				growing := i/6_000%2 == 0
				if len(sorted) == 0 || r.IntN(100) < 5 != growing {
					ms := draw(r, i)
					l.add(ms)
					at, _ := slices.BinarySearch(sorted, ms)
					sorted = slices.Insert(sorted, at, ms)
				} else {
					at := r.IntN(len(sorted))
					l.remove(sorted[at])
					sorted = slices.Delete(sorted, at, at+1)
				}
				if i == 5_999 && len(l.blocks) <= 3 {
					t.Fatalf("only %d blocks", len(l.blocks))
				}
				if i%500 == 499 {
					checkLatencies(t, &l, sorted)
				}
			}
			for len(sorted) > 0 {
				l.remove(sorted[0])
				sorted = sorted[1:]
			}
			checkLatencies(t, &l, nil)
		})
	}
}

// The definition, in integers: the smallest value such that percent of all values are not greater.
func TestPercentileIsTheNearestRank(t *testing.T) {
	var l latencies
	for n := 1; n <= 300; n++ {
		l.add(int32(n * 10)) // the value of rank k is 10·k
		for _, percent := range []int{50, 95, 99} {
			rank := 1
			for 100*rank < percent*n {
				rank++
			}
			if got := l.percentile(percent); got != int64(10*rank) {
				t.Errorf("p%d of %d values is that of rank %d, want %d", percent, n, got/10, rank)
			}
		}
	}
}

func TestAverageIsRoundedHalfUp(t *testing.T) {
	for _, c := range []struct {
		values []int32
		want   int64
	}{
		{[]int32{0}, 0}, {[]int32{1, 2}, 2}, {[]int32{1, 1, 2}, 1}, {[]int32{1, 2, 2}, 2}, {[]int32{0, 0, 0, 2}, 1},
		{[]int32{1<<31 - 1, 1<<31 - 1}, 1<<31 - 1}, {[]int32{1<<31 - 1, 1<<31 - 2}, 1<<31 - 1},
	} {
		var l latencies
		for _, ms := range c.values {
			l.add(ms)
		}
		if got := l.average(); got != c.want {
			t.Errorf("the average of %v is %d, want %d", c.values, got, c.want)
		}
	}
}

func TestRemovingWhatWasNeverAddedPanics(t *testing.T) {
	var l latencies
	l.add(1)
	defer func() {
		if recover() == nil {
			t.Error("nothing was said")
		}
	}()
	l.remove(2)
}
