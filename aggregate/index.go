package aggregate

import "hash/maphash"

// index finds things by their names, of which it keeps the hashes alone: the names stand where its positions lead to. It is
// an open hash table of a power of two slots, at most three quarters of them used. A map would hold each name once more, and
// for the small runs that most are it would take most of the fold's time.
type index struct {
	slots []slot
	used  int
}

type slot struct {
	hash uint32
	at   int32 // the position plus one, 0 where the slot is free
}

// seed keys all hashes. It differs from process to process: nothing stored depends on it, and nobody can craft names that
// collide, or two contents.
var seed = maphash.MakeSeed()

func hashOf(name string) uint32 { return uint32(maphash.String(seed, name)) }

// find returns the position of the name with this hash, which is tells from others with the same.
func (x *index) find(hash uint32, is func(at int32) bool) (at int32, found bool) {
	if x.used == 0 {
		return 0, false
	}
	mask := uint32(len(x.slots) - 1)
	for i := hash & mask; x.slots[i].at != 0; i = (i + 1) & mask {
		if s := x.slots[i]; s.hash == hash && is(s.at-1) {
			return s.at - 1, true
		}
	}
	return 0, false
}

// add takes in a position whose name is not there yet.
func (x *index) add(hash uint32, at int32) {
	if 4*(x.used+1) > 3*len(x.slots) {
		before := x.slots
		x.slots = make([]slot, max(16, 2*len(before)))
		for _, s := range before {
			if s.at != 0 {
				x.put(s)
			}
		}
	}
	x.put(slot{hash, at + 1})
	x.used++
}

func (x *index) put(s slot) {
	mask := uint32(len(x.slots) - 1)
	i := s.hash & mask
	for x.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = s
}
