package aggregate

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Hashes of few values make every name share one with others.
func TestIndexFindsEachNameAmongThoseOfTheSameHash(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, hashes := range []uint32{1, 3, 64, 1 << 31} {
		var x index
		var names []string
		hash := make(map[string]uint32)
		find := func(name string) (int32, bool) {
			return x.find(hash[name], func(at int32) bool { return names[at] == name })
		}
		for i := range 500 {
			name := fmt.Sprint("name ", i)
			hash[name] = random.Uint32N(hashes)
			if at, found := find(name); found {
				t.Fatalf("%d hashes: %s was found at %d before it was added", hashes, name, at)
			}
			x.add(hash[name], int32(i))
			names = append(names, name)
		}
		for i, name := range names {
			if at, found := find(name); !found || at != int32(i) {
				t.Fatalf("%d hashes: %s is at %d, %v, want %d", hashes, name, at, found, i)
			}
		}
		if 4*x.used > 3*len(x.slots) {
			t.Errorf("%d of %d slots are used", x.used, len(x.slots))
		}
	}
}
