package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNotPrintedWhateverTheVerb(t *testing.T) {
	t.Parallel()
	secret := NewSecret("hunter2")
	holder := struct {
		Public  Secret
		private Secret
		pointer *Secret
	}{secret, secret, &secret}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10s"} {
		printed = append(printed, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, holder))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "secret", secret, "config", &Config{NATSURL: secret})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "secret", secret, "config", &Config{NATSURL: secret})
	asJSON, err := json.Marshal(Config{DatabaseURL: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(printed, log.String(), string(asJSON), fmt.Errorf("wrap %w: %v", fmt.Errorf("x"), secret).Error()) {
		for _, leaked := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
			if strings.Contains(s, leaked) {
				t.Errorf("printed %q", s)
			}
		}
	}
	if secret.Reveal() != "hunter2" || !secret.IsSet() || (Secret{}).IsSet() {
		t.Error("the value itself is lost")
	}
}
