package emulator

import (
	"iter"
	"slices"
)

// blockSize is how many rows a block of an index holds at most.
const blockSize = 512

// index keeps rows in order. It is a list of short sorted blocks: a row is found by two binary searches, and an insertion
// moves half a block of pointers.
type index struct {
	compare func(a, b *row) int // a total order
	blocks  [][]*row            // none of them empty
	size    int
}

// newIndex makes an index of rows that are in order.
func newIndex(compare func(a, b *row) int, rows []*row) *index {
	x := &index{compare: compare, size: len(rows)}
	for block := range slices.Chunk(rows, blockSize/2) {
		x.blocks = append(x.blocks, slices.Clone(block))
	}
	return x
}

// locate returns where the row is, or where it would stand.
func (x *index) locate(r *row) (block, at int, found bool) {
	block, exact := slices.BinarySearchFunc(x.blocks, r, func(b []*row, r *row) int { return x.compare(b[0], r) })
	if exact {
		return block, 0, true
	}
	if block == 0 {
		return 0, 0, false
	}
	block--
	at, found = slices.BinarySearchFunc(x.blocks[block], r, x.compare)
	return block, at, found
}

// find returns the row that stands where the given one would, or nil.
func (x *index) find(r *row) *row {
	if block, at, found := x.locate(r); found {
		return x.blocks[block][at]
	}
	return nil
}

// put takes a row in, in place of the one that is equal to it.
func (x *index) put(r *row) {
	block, at, found := x.locate(r)
	if found {
		x.blocks[block][at] = r
		return
	}
	x.size++
	if len(x.blocks) == 0 {
		x.blocks = [][]*row{{r}}
		return
	}
	full := slices.Insert(x.blocks[block], at, r)
	x.blocks[block] = full
	if len(full) >= blockSize {
		half := len(full) / 2
		x.blocks[block] = slices.Clone(full[:half])
		x.blocks = slices.Insert(x.blocks, block+1, slices.Clone(full[half:]))
	}
}

// remove takes a row out.
func (x *index) remove(r *row) {
	block, at, found := x.locate(r)
	if !found {
		return
	}
	x.size--
	x.blocks[block] = slices.Delete(x.blocks[block], at, at+1)
	if len(x.blocks[block]) == 0 {
		x.blocks = slices.Delete(x.blocks, block, block+1)
	}
}

// after returns the rows behind one that need not be in the index, in order; all of them for nil. The index must not
// change meanwhile.
func (x *index) after(r *row) iter.Seq[*row] {
	block, at := 0, 0
	if r != nil {
		var found bool
		if block, at, found = x.locate(r); found {
			at++
		}
	}
	return func(yield func(*row) bool) {
		first := at
		for _, rows := range x.blocks[min(block, len(x.blocks)):] {
			for _, r := range rows[first:] {
				if !yield(r) {
					return
				}
			}
			first = 0
		}
	}
}
