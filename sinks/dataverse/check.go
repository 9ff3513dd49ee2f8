package dataverse

// Finding is a difference of a table from the one that is wanted.
type Finding struct {
	Column  string // logical name; empty where it is about the table
	Problem string // what it is, and what it costs
	Fix     string
	Fatal   bool // no row can be written
}

// Check compares the table with the one that is wanted.
func (t *Table) Check() []Finding {
	return nil
}
