package events

import (
	"bytes"
	"testing"
)

// checkFlat compares the fast way with the general one and tells whether it was taken.
func checkFlat(t *testing.T, data []byte) bool {
	t.Helper()
	var fast, general object
	taken := fast.scanFlat(data)
	if !taken {
		return false
	}
	if err := general.scanAny(data); err != nil {
		t.Fatalf("%q is read, but is %v", data, err)
	}
	for f := range fieldCount {
		if !bytes.Equal(fast[f], general[f]) || (fast[f] == nil) != (general[f] == nil) {
			t.Fatalf("%q: %s is %s, want %s", data, f, fast[f], general[f])
		}
	}
	return true
}

func TestFlatObjectsAreReadFast(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"id":"a","attempt":-1.5e+3,"version":null,"tokensIn":0,"model":"🚀","phase":true}`: true,
		" {\t\"id\" :\r\n\"a\" , \"phase\":false } \n":                                      true,
		`{"id":""}`: true,
		``:          false, `{`: false, `{}`: false, `{"id"`: false, `{"id":`: false, `{"id":"a"`: false, `{"id":"a",`: false,
		`{"id":"a",}`: false,
		`{"id":"a"}x`: false, `{"id":"a"}{}`: false, `{"id":"a","id":"b"}`: false, `{"id":null,"id":"b"}`: false,
		`{"unknown":1}`: false, `{"longer than any name":1}`: false, `{"i\u0064":"a"}`: false, `{"id":"\n"}`: false,
		"{\"id\":\"\n\"}": false,
		`{"id":[]}`:       false, `{"id":{}}`: false, `{"id":nul}`: false, `{"id":nullx}`: false, `{"id":True}`: false,
		"{\"id\":\"\xff\"}": false,
		`{"id":01}`:         false, `{"id":1.}`: false, `{"id":.1}`: false, `{"id":-}`: false, `{"id":1e}`: false,
		`{"id":1e+}`: false, `{"id":+1}`: false,
		`["id"]`: false, `{"id" "a"}`: false, `{"id":"a" "phase":"b"}`: false, "{\"id\":\"\x7f\"}": true,
	} {
		if got := checkFlat(t, []byte(payload)); got != want {
			t.Errorf("%s: read fast %v, want %v", payload, got, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","attempt":-1.5e+3,"version":null,"tokensIn":0,"model":"🚀","phase":true}`, " {\t\"id\" :\r\n\"a\" } \n",
		`{"id":1}x`,
		`{"id":1,"id":2}`, `{"costUSD":1E-9,"latencyMs":0.50}`, "{\"id\":\"\xff\"}", "{\"id\":\"\x00\"}",
		`{"id":"\u0041","x":[]}`, `{"data":"","time":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkFlat(t, data) })
}
