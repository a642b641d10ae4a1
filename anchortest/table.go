package anchortest

import "slices"

// A table has rows by id, in the order in which they were added. The zero value is
// empty.
type table[T any] struct {
	rows  map[string]*T
	order []string
}

// get returns the row with the given id, or nil.
func (t *table[T]) get(id string) *T { return t.rows[id] }

// put adds a row, or replaces the one with the same id.
func (t *table[T]) put(id string, row *T) {
	if t.rows == nil {
		t.rows = make(map[string]*T)
	}
	if _, found := t.rows[id]; !found {
		t.order = append(t.order, id)
	}
	t.rows[id] = row
}

// delete removes a row. It reports whether the row existed.
func (t *table[T]) delete(id string) bool {
	if _, found := t.rows[id]; !found {
		return false
	}
	delete(t.rows, id)
	t.order = slices.DeleteFunc(t.order, func(other string) bool { return other == id })
	return true
}

// all returns the rows, oldest first.
func (t *table[T]) all() []*T {
	rows := make([]*T, len(t.order))
	for i, id := range t.order {
		rows[i] = t.rows[id]
	}
	return rows
}
