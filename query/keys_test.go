package query

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func mustKey(t *testing.T, id string, scopes ...string) (line, token string) {
	t.Helper()
	line, token, err := NewKey(id, scopes, time.Time{}, rand.Reader)
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
		id      string
		scopes  scopes
		refusal string
	}{
		readToken:                            {"studio", scopes{"read"}, ""},
		bothToken:                            {"ops_1", scopes{"read", "write"}, ""},
		readToken[:len(readToken)-1]:         {"studio", nil, wrongSecret},
		"studio":                             {"studio", nil, wrongSecret},
		"studio.":                            {"studio", nil, wrongSecret},
		strings.TrimPrefix(readToken, "stu"): {"", nil, unknownKey},
		"":                                   {"", nil, noKey},
		"nobody.":                            {"", nil, unknownKey},
	} {
		id, granted, refusal := keys.find(token, testStart)
		if id != want.id || refusal != want.refusal || !slices.Equal(granted, want.scopes) {
			t.Errorf("%q: got %q %v %q, want %v", token, id, granted, refusal, want)
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
		"dated read " + hash + " expires=soon # " + secret,
		"dated read " + hash + " expires=2027-01-31 " + secret,
		"dated read " + hash + " until=" + secret,
	}, "\n")
	_, err := ParseKeys(strings.NewReader(file))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"line 2: must be: <id> <scopes> <sha256 of the secret in hex> [expires=<date>] [# comment]",
		"line 3: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 4: scopes must be read, write or read,write",
		"line 5: hash must be 64 hexadecimal digits",
		"line 6: id stands on an earlier line already",
		"line 7: must be: <id> <scopes> <sha256 of the secret in hex> [expires=<date>] [# comment]",
		"line 8: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 8: scopes must be read, write or read,write",
		"line 8: hash must be 64 hexadecimal digits",
		"line 9: id must be 1 to 64 of the characters A-Z a-z 0-9 - _",
		"line 9: hash must be 64 hexadecimal digits",
		"line 10: expires must be a date such as 2027-01-31",
		"line 11: must be: <id> <scopes> <sha256 of the secret in hex> [expires=<date>] [# comment]",
		"line 12: must be: <id> <scopes> <sha256 of the secret in hex> [expires=<date>] [# comment]",
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
	if _, err := ParseKeys(strings.NewReader("# " + strings.Repeat("x", maxFollowed))); err == nil {
		t.Error("a file without end was accepted")
	}
}

func TestNewKeyRefusesWhatTheFileWouldRefuse(t *testing.T) {
	for id, scopes := range map[string][]string{"a.b": {"read"}, "": {"read"}, "a": {"admin"}, "b": nil} {
		if _, _, err := NewKey(id, scopes, time.Time{}, rand.Reader); err == nil {
			t.Errorf("%q %q: accepted", id, scopes)
		}
	}
	if _, _, err := NewKey("a", []string{"read"}, time.Time{}, strings.NewReader("short")); err == nil {
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

func TestKeyIsRefusedFromTheDayOnWhichItExpires(t *testing.T) {
	day := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	line, token, err := NewKey("dated", []string{ScopeRead}, day.Add(7*time.Hour), rand.Reader)
	if err != nil || !strings.HasSuffix(line, " expires=2027-01-31") {
		t.Fatalf("%s, %v", line, err)
	}
	keys, err := ParseKeys(strings.NewReader(line + " # for the audit"))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{day.Add(-1): "", day: expiredKey, day.AddDate(1, 0, 0): expiredKey} {
		if id, granted, refusal := keys.find(token, at); id != "dated" || refusal != want || granted.has(ScopeRead) != (want == "") {
			t.Errorf("at %v: %q %v %q", at, id, granted, refusal)
		}
	}
	if _, _, refusal := keys.find("dated.guess", day); refusal != wrongSecret {
		t.Errorf("who does not know the secret is told that the key is %s", refusal)
	}
	if list := keys.List(); len(list) != 1 || list[0].Comment != "for the audit" || !list[0].Expires.Equal(day) {
		t.Errorf("listed as %+v", list)
	}
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
