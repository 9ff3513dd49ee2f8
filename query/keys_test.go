package query

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func mustKey(t *testing.T, id string, scopes ...string) (line, token string) {
	t.Helper()
	line, token, err := NewKey(id, scopes, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line, token
}

func TestNewKeyIsFoundByItsTokenAndByNoOther(t *testing.T) {
	reader, readToken := mustKey(t, "studio", ScopeRead)
	both, bothToken := mustKey(t, "ops_1", ScopeRead, ScopeWrite)
	file := "# keys of the team\n\n" + reader + "\r\n  " + both + " # rotates in May\n"
	keys, err := ParseKeys(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]struct {
		id     string
		scopes scopes
		known  bool
	}{
		readToken:                            {"studio", scopes{"read"}, true},
		bothToken:                            {"ops_1", scopes{"read", "write"}, true},
		readToken[:len(readToken)-1]:         {"studio", nil, false},
		"studio":                             {"studio", nil, false},
		"studio.":                            {"studio", nil, false},
		strings.TrimPrefix(readToken, "stu"): {"", nil, false},
		"":                                   {"", nil, false},
		"nobody.":                            {"", nil, false},
	} {
		id, granted, known := keys.find(token)
		if id != want.id || known != want.known || !slices.Equal(granted, want.scopes) {
			t.Errorf("%q: got %q %v %v, want %v", token, id, granted, known, want)
		}
	}
	if strings.Contains(file, strings.SplitN(readToken, ".", 2)[1]) {
		t.Error("the file holds the secret")
	}
}

func TestKeyFileNamesEveryFaultWithItsLineAndNoSecret(t *testing.T) {
	good, _ := mustKey(t, "good", ScopeRead)
	hash := strings.Fields(good)[2]
	secret := "hunter2-pasted-by-mistake"
	file := strings.Join([]string{
		good,
		"studio read",
		"stu.dio read " + hash,
		"studio read,admin " + hash,
		"studio read " + secret,
		"good write " + hash,
		"studio read " + hash + " not a comment",
		secret + "! , " + secret,
		strings.Repeat("i", 65) + " read " + hash[1:],
	}, "\n")
	_, err := ParseKeys(strings.NewReader(file))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"line 2: must be: <id> <scopes> <sha256 of the secret in hex> [# comment]",
		"line 3: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 4: scopes must be read, write or read,write",
		"line 5: hash must be 64 hexadecimal digits",
		"line 6: id stands on an earlier line already",
		"line 7: must be: <id> <scopes> <sha256 of the secret in hex> [# comment]",
		"line 8: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 8: scopes must be read, write or read,write",
		"line 8: hash must be 64 hexadecimal digits",
		"line 9: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 9: hash must be 64 hexadecimal digits",
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s", err)
	}
	if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), hash) {
		t.Errorf("quotes what may be secret: %s", err)
	}
}

func TestKeyFileWithoutAKeyIsAFault(t *testing.T) {
	if _, err := ParseKeys(strings.NewReader("# none yet\n")); err == nil {
		t.Error("accepted: everybody would be locked out")
	}
	broken := errors.New("disk gone")
	if _, err := ParseKeys(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseKeys(strings.NewReader("# " + strings.Repeat("x", 1<<17))); err == nil {
		t.Error("a line without end was accepted")
	}
}

func TestNewKeyRefusesWhatTheFileWouldRefuse(t *testing.T) {
	for id, scopes := range map[string][]string{"a.b": {"read"}, "": {"read"}, "a": {"admin"}, "b": nil} {
		if _, _, err := NewKey(id, scopes, rand.Reader); err == nil {
			t.Errorf("%q %q: accepted", id, scopes)
		}
	}
	if _, _, err := NewKey("a", []string{"read"}, strings.NewReader("short")); err == nil {
		t.Error("made a key of too little randomness")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("a read " + strings.Repeat("0", 64) + " # x\n\n#")
	f.Add("a")
	f.Fuzz(func(t *testing.T, file string) {
		keys, err := ParseKeys(strings.NewReader(file))
		if (err == nil) == (keys == nil) {
			t.Fatalf("keys %v, error %v", keys, err)
		}
	})
}

func TestBearerTokenGoesBeforeTheOtherHeader(t *testing.T) {
	for headers, want := range map[[2]string]string{
		{"Bearer a.b", "c.d"}:  "a.b",
		{"bearer  a.b ", ""}:   "a.b",
		{"", "c.d"}:            "c.d",
		{"Basic xyz", "c.d"}:   "c.d",
		{"Bearer", "c.d"}:      "",
		{"Basic c2VjcmV0", ""}: "",
	} {
		if got := tokenOf(headers[0], headers[1]); got != want {
			t.Errorf("%q: got %q, want %q", headers, got, want)
		}
	}
}

func TestListenRefusesOtherMachinesWithoutKeys(t *testing.T) {
	for _, c := range []struct {
		addr              string
		hasKeys, insecure bool
		ok                bool
	}{
		{"127.0.0.1:8080", false, false, true},
		{"127.8.9.1:0", false, false, true},
		{"localhost:8080", false, false, true},
		{"[::1]:8080", false, false, true},
		{"[::ffff:127.0.0.1]:8080", false, false, true},
		{":8080", false, false, false},
		{"0.0.0.0:8080", false, false, false},
		{"[::]:8080", false, false, false},
		{"192.168.1.5:8080", false, false, false},
		{"localhost.example.com:8080", false, false, false},
		{"0.0.0.0:8080", true, false, true},
		{"0.0.0.0:8080", false, true, true},
		{"8080", true, true, false},
	} {
		err := CheckListen(c.addr, c.hasKeys, c.insecure)
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil && c.addr != "8080" {
			for _, way := range []string{"API_KEYS_FILE", "--insecure", fmt.Sprintf("%q", c.addr)} {
				if !strings.Contains(err.Error(), way) {
					t.Errorf("%q does not name %s", err, way)
				}
			}
		}
	}
}
