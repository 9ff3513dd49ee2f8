package query

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The scopes that a key can have.
const (
	ScopeRead  = "read"  // GET, and what /readyz tells beyond the state
	ScopeWrite = "write" // POST
)

// secretSize is the randomness of a secret in bytes. That much needs no slow hash.
const secretSize = 32

// Keys are the API keys of a file. It holds their hashes, never a secret.
type Keys struct {
	byID map[string]key
}

type key struct {
	hash   [sha256.Size]byte
	scopes scopes
}

type scopes []string

func (s scopes) has(scope string) bool { return slices.Contains(s, scope) }

// ParseKeys reads a file with one key a line:
//
//	<id> <scopes, comma separated> <SHA-256 of the secret, hexadecimal> [# comment]
//
// Empty lines and lines that begin with # are skipped. The error names every fault with its line. It never quotes a
// line: somebody may have pasted a secret into it. A file without any key is a fault, too.
func ParseKeys(r io.Reader) (*Keys, error) {
	keys := &Keys{byID: map[string]key{}}
	var faults []error
	lines := bufio.NewScanner(r)
	number := 0
	for lines.Scan() {
		number++
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		for _, fault := range keys.add(fields) {
			faults = append(faults, fmt.Errorf("line %d: %w", number, fault))
		}
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("line %d: %w", number+1, err))
	}
	if len(faults) == 0 && len(keys.byID) == 0 {
		faults = append(faults, errors.New("there is no key in it"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return keys, nil
}

// add takes one line in and returns what is wrong with it.
func (k *Keys) add(fields []string) []error {
	if len(fields) < 3 || len(fields) > 3 && !strings.HasPrefix(fields[3], "#") {
		return []error{errors.New("must be: <id> <scopes> <sha256 of the secret in hex> [# comment]")}
	}
	var faults []error
	id := fields[0]
	if err := checkKeyID(id); err != nil {
		faults = append(faults, err)
	} else if _, twice := k.byID[id]; twice {
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
	if len(faults) == 0 {
		k.byID[id] = key{hash: [sha256.Size]byte(hash), scopes: granted}
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
// The id is 1 to 64 of A-Z a-z 0-9 - _, the scopes ScopeRead, ScopeWrite or both. Random is crypto/rand.Reader.
func NewKey(id string, granted []string, random io.Reader) (line, token string, err error) {
	if err := errors.Join(checkKeyID(id), checkScopes(granted)); err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	raw := make([]byte, secretSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	secret := base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(secret))
	return fmt.Sprintf("%s %s %x", id, strings.Join(granted, ","), hash), id + "." + secret, nil
}

// find returns the id of the file that the token names, empty where it names none, and the key's scopes if the secret
// is right. Ids are no secrets; the secret is compared in constant time.
func (k *Keys) find(token string) (id string, granted scopes, known bool) {
	name, secret, _ := strings.Cut(token, ".")
	found, exists := k.byID[name]
	hash := sha256.Sum256([]byte(secret))
	right := subtle.ConstantTimeCompare(hash[:], found.hash[:]) == 1
	switch {
	case !exists:
		return "", nil, false
	case !right:
		return name, nil, false
	}
	return name, found.scopes, true
}

// tokenOf takes the token out of a request's headers; a bearer token goes before X-API-Key.
func tokenOf(authorization, apiKey string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return apiKey
}
