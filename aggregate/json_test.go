package aggregate_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// Each field of the record is set to something of its own, and then each that can be is nil.
func TestAppendJSONIsWhatTheEncoderWrites(t *testing.T) {
	var m aggregate.Metrics
	full := reflect.ValueOf(&m).Elem()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range full.NumField() {
		fill(t, full.Field(i), random)
	}
	checkJSON(t, &m)
	for i := range full.NumField() {
		if f := full.Field(i); f.Kind() == reflect.Pointer {
			before := f.Interface()
			f.SetZero()
			checkJSON(t, &m)
			f.Set(reflect.ValueOf(before))
		}
	}
	checkJSON(t, new(aggregate.Metrics))
}

func fill(t *testing.T, f reflect.Value, random *rand.Rand) {
	t.Helper()
	switch v := f.Addr().Interface().(type) {
	case *time.Time:
		*v = time.UnixMicro(random.Int64N(1 << 52)).UTC()
	case **time.Time:
		*v = new(time.UnixMicro(random.Int64N(1 << 52)).UTC())
	case **int64:
		*v = new(random.Int64())
	case **aggregate.Percent:
		*v = new(aggregate.Percent(random.Int64N(10_000)))
	case *aggregate.Money:
		m, err := aggregate.ParseMoney("98765432109876543210.123456789")
		if err != nil {
			t.Fatal(err)
		}
		*v = m
	default:
		switch f.Kind() {
		case reflect.String:
			f.SetString(string([]rune{'a', '"', '\\', '\n', 'é', '🚀', rune('a' + random.IntN(26))}))
		case reflect.Int64:
			f.SetInt(random.Int64())
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Array:
			for i := range f.Len() {
				f.Index(i).SetUint(random.Uint64N(256))
			}
		default:
			t.Fatalf("%v has no value yet", f.Type())
		}
	}
}

func checkJSON(t *testing.T, m *aggregate.Metrics) {
	t.Helper()
	want, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.AppendJSON([]byte("before ")); string(got) != "before "+string(want) {
		t.Errorf("wrote %s, want %s", got, want)
	}
}
