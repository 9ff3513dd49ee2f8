package consumer

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestStreamsAreDividedEvenly among processes that can read all of them, and else among those that can.
func TestStreamsAreDividedEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var streams []string
		for n := range rapid.IntRange(1, 12).Draw(t, "streams") {
			streams = append(streams, fmt.Sprintf("RUN_EVENTS_%d", n))
		}
		whole := rapid.Bool().Draw(t, "all can read everything")
		able := make(map[string][]string)
		for _, id := range rapid.SliceOfNDistinct(rapid.StringN(8, 8, -1), 1, 6, rapid.ID).Draw(t, "processes") {
			able[id] = streams
			if !whole {
				able[id] = slices.Clone(streams[rapid.IntRange(0, len(streams)).Draw(t, "first"):])
			}
		}
		turns := divide(able)
		if again := divide(maps.Clone(able)); !maps.Equal(turns, again) {
			t.Fatalf("%v, then %v", turns, again)
		}
		share := make(map[string]int)
		for id := range able {
			share[id] = 0
		}
		for _, stream := range streams {
			owner, ok := turns[stream]
			if can := slices.ContainsFunc(slices.Collect(maps.Values(able)), func(s []string) bool {
				return slices.Contains(s, stream)
			}); ok != can || ok && !slices.Contains(able[owner], stream) {
				t.Fatalf("%s is read by %q, %v can", stream, owner, able)
			}
			share[owner]++
		}
		counts := slices.Collect(maps.Values(share))
		if whole && slices.Max(counts)-slices.Min(counts) > 1 {
			t.Fatalf("shares %v", share)
		}
	})
}
