package query

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Keys are the API keys of a file, which may change while they are in use.
type Keys struct {
	current atomic.Pointer[keyFile]

	mu    sync.Mutex
	used  map[string]bool  // ids that were shown with their secret
	count map[keyUse]int64 // requests
}

// keyUse is what is counted together.
type keyUse struct {
	keyID  string
	status int
}

// Use is how many requests that showed a key were answered with a status.
type Use struct {
	KeyID    string // empty: no valid key was shown
	Status   int
	Requests int64
}

func newKeys(file *keyFile) *Keys {
	k := &Keys{used: map[string]bool{}, count: map[keyUse]int64{}}
	k.current.Store(file)
	return k
}

// Follow reads the file that the keys came from again whenever it changes, until the context ends. A change is in use
// within five seconds. A file with a fault is logged and changes nothing.
func (k *Keys) Follow(ctx context.Context, path string, log *slog.Logger) {
	follow(ctx, log, k.current.Load().digest, func(contents [][]byte) error {
		file, err := parseKeyFile(bytes.NewReader(contents[0]))
		if err != nil {
			return err
		}
		k.current.Store(file)
		return nil
	}, path)
}

// Why a request is refused for its key.
const (
	noKey       = "no key"
	unknownKey  = "unknown key"
	wrongSecret = "wrong secret"
	expiredKey  = "expired"
)

// find returns the id of the file that the token names, empty where it names none, and the key's scopes, or why it is
// refused. Ids are no secrets; the secret is compared in constant time.
func (k *Keys) find(token string, now time.Time) (id string, granted scopes, refusal string) {
	name, secret, _ := strings.Cut(token, ".")
	found, exists := k.current.Load().byID[name]
	hash := sha256.Sum256([]byte(secret))
	right := subtle.ConstantTimeCompare(hash[:], found.hash[:]) == 1
	switch {
	case token == "":
		return "", nil, noKey
	case !exists:
		return "", nil, unknownKey
	case !right:
		return name, nil, wrongSecret
	case found.expired(now):
		return name, nil, expiredKey
	}
	return name, found.scopes, ""
}

// firstUse tells whether the key was not used before, as far as this process knows.
func (k *Keys) firstUse(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	first := !k.used[id]
	k.used[id] = true
	return first
}

func (k *Keys) answered(id string, status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count[keyUse{id, status}]++
}

// Uses returns what was counted since the process started, sorted by key and status.
func (k *Keys) Uses() []Use {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]Use, 0, len(k.count))
	for of, n := range k.count {
		list = append(list, Use{of.keyID, of.status, n})
	}
	slices.SortFunc(list, func(a, b Use) int { return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Status, b.Status)) })
	return list
}

// KeyInfo is what may be shown of a key.
type KeyInfo struct {
	ID      string
	Scopes  []string
	Expires time.Time // zero: never
	Comment string
}

// List returns the keys sorted by id.
func (k *Keys) List() []KeyInfo {
	var list []KeyInfo
	for id, of := range k.current.Load().byID {
		list = append(list, KeyInfo{ID: id, Scopes: of.scopes, Expires: of.expires, Comment: of.comment})
	}
	slices.SortFunc(list, func(a, b KeyInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Check returns the id of the key that the token names, empty where it names none, and its scopes. The error says why the
// token is refused, and quotes nothing of it.
func (k *Keys) Check(token string, now time.Time) (id string, scopes []string, err error) {
	id, granted, refusal := k.find(token, now)
	if refusal != "" {
		return id, nil, errors.New(refusal)
	}
	return id, granted, nil
}
