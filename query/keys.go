package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The scopes that a key can have.
const (
	ScopeRead  = "read"  // GET, and what /readyz tells beyond the state
	ScopeWrite = "write" // POST
)

// secretSize is the randomness of a secret in bytes. That much needs no slow hash.
const secretSize = 32

// keyFile is what a file of keys holds: their hashes, never a secret.
type keyFile struct {
	byID   map[string]key
	digest [sha256.Size]byte // of the text
}

type key struct {
	hash    [sha256.Size]byte
	scopes  scopes
	expires time.Time // zero: never
	comment string
}

func (k *key) expired(now time.Time) bool { return !k.expires.IsZero() && !now.Before(k.expires) }

type scopes []string

func (s scopes) has(scope string) bool { return slices.Contains(s, scope) }

// ParseKeys reads a file with one key a line:
//
//	<id> <scopes, comma separated> <SHA-256 of the secret, hexadecimal> [expires=<date>] [# comment]
//
// A key that expires is refused from the beginning of the date on, in UTC. Empty lines and lines that begin with # are
// skipped. The error names every fault with its line. It never quotes a
// line: somebody may have pasted a secret into it. A file without any key is a fault, too.
func ParseKeys(r io.Reader) (*Keys, error) {
	file, err := parseKeyFile(r)
	if err != nil {
		return nil, err
	}
	return newKeys(file), nil
}

func parseKeyFile(r io.Reader) (*keyFile, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFollowed+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFollowed:
		return nil, fmt.Errorf("it has over %d bytes", maxFollowed)
	}
	file := &keyFile{byID: map[string]key{}, digest: digestOf([][]byte{text}, nil)}
	var faults []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, comment, _ := strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		for _, fault := range file.add(fields, strings.TrimSpace(comment)) {
			faults = append(faults, fmt.Errorf("line %d: %w", number, fault))
		}
	}
	if len(faults) == 0 && len(file.byID) == 0 {
		faults = append(faults, errors.New("there is no key in it"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return file, nil
}

// expiresField begins the field of a line that says when its key expires.
const expiresField = "expires="

// add takes one line in and returns what is wrong with it.
func (f *keyFile) add(fields []string, comment string) []error {
	if len(fields) < 3 || len(fields) > 4 || len(fields) == 4 && !strings.HasPrefix(fields[3], expiresField) {
		return []error{errors.New("must be: <id> <scopes> <sha256 of the secret in hex> [expires=<date>] [# comment]")}
	}
	var faults []error
	id := fields[0]
	if err := checkKeyID(id); err != nil {
		faults = append(faults, err)
	} else if _, twice := f.byID[id]; twice {
		faults = append(faults, errors.New("id stands on an earlier line already"))
	}
	granted := scopes(strings.Split(fields[1], ","))
	if err := checkScopes(granted); err != nil {
		faults = append(faults, err)
	}
	hash, err := hex.DecodeString(fields[2])
	if err != nil || len(hash) != sha256.Size {
		faults = append(faults, errors.New("hash must be 64 hexadecimal digits"))
	}
	var expires time.Time
	if len(fields) == 4 {
		if expires, err = time.Parse(time.DateOnly, strings.TrimPrefix(fields[3], expiresField)); err != nil {
			faults = append(faults, errors.New("expires must be a date such as 2027-01-31"))
		}
	}
	if len(faults) == 0 {
		f.byID[id] = key{hash: [sha256.Size]byte(hash), scopes: granted, expires: expires, comment: comment}
	}
	return faults
}

func checkKeyID(id string) error {
	odd := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, odd) {
		return errors.New("id must be 1 to 64 of the characters A-Z a-z 0-9 - _")
	}
	return nil
}

func checkScopes(granted scopes) error {
	for _, scope := range granted {
		if scope != ScopeRead && scope != ScopeWrite {
			return errors.New("scopes must be read, write or read,write")
		}
	}
	if len(granted) == 0 {
		return errors.New("scopes are missing")
	}
	return nil
}

// NewKey makes a key: the line for the file, and the token <id>.<secret> for its user, which cannot be made again.
// The id is 1 to 64 of A-Z a-z 0-9 - _, the scopes ScopeRead, ScopeWrite or both; with a zero time it never expires, else
// at the beginning of that day in UTC. Random is crypto/rand.Reader.
func NewKey(id string, granted []string, expires time.Time, random io.Reader) (line, token string, err error) {
	if err := errors.Join(checkKeyID(id), checkScopes(granted)); err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	raw := make([]byte, secretSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	secret := base64.RawURLEncoding.EncodeToString(raw)
	line = fmt.Sprintf("%s %s %x", id, strings.Join(granted, ","), sha256.Sum256([]byte(secret)))
	if !expires.IsZero() {
		line += " " + expiresField + expires.UTC().Format(time.DateOnly)
	}
	return line, id + "." + secret, nil
}

// tokenOf takes the token out of a request's headers; a bearer token goes before X-API-Key.
func tokenOf(authorization, apiKey string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return apiKey
}
