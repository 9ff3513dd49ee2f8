package main

import (
	"fmt"
	"log/slog"
)

// hidden stands for a secret wherever one would be printed.
const hidden = "(not shown)"

// Secret is a value that must not be printed: a password, or a URL that may hold one. Every way of formatting it gives
// a placeholder; the text lies behind a pointer so that even a print of raw struct fields shows an address.
type Secret struct {
	text *string
}

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{text: &s} }

// Reveal returns the value, for the call that needs it and nothing else. It is empty where nothing was set.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// String returns the placeholder, empty where nothing was set.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return hidden
}

// Format covers all verbs: those that do not fit a type would print its inside.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString returns the placeholder.
func (s Secret) GoString() string { return s.String() }

// MarshalText covers JSON and every other encoding of text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue covers slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the value from the environment.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}
