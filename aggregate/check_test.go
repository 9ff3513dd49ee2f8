package aggregate_test

import (
	"reflect"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/aggregate/aggregatetest"
	"github.com/apexsalesai/runmetrics/events"
)

// checkRecord compares a record with what the oracle says of the history.
func checkRecord(t rapid.TB, got aggregate.Metrics, history []events.Event) {
	t.Helper()
	sameRecord(t, got, aggregatetest.Judge(history), lines(history))
}

// sameRecord compares two records field by field.
func sameRecord(t rapid.TB, got, want aggregate.Metrics, context string) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if g, w := g.Field(i), w.Field(i); !reflect.DeepEqual(g.Interface(), w.Interface()) {
			t.Errorf("%s is %v, want %v", reflect.TypeFor[aggregate.Metrics]().Field(i).Name, show(g), show(w))
		}
	}
	if t.Failed() {
		t.Fatalf("%s", context)
	}
}

// show is the value that a pointer points to.
func show(v reflect.Value) any {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Interface()
}
