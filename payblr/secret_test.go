package payblr

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// wantHidden prints v in every way at hand and looks for the canary.
func wantHidden(t testing.TB, what string, v any, canaries ...string) {
	t.Helper()
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10.3s", "%08b"} {
		out = append(out, fmt.Sprintf(verb, v))
	}
	if raw, err := json.Marshal(v); err == nil {
		out = append(out, string(raw))
	}
	if raw, err := xml.Marshal(v); err == nil {
		out = append(out, string(raw))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
	out = append(out, log.String())
	for _, canary := range canaries {
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
			for _, text := range out {
				if strings.Contains(text, form) {
					t.Errorf("%s shows %q in %q", what, canary, text)
				}
			}
		}
	}
}

func TestSecret_CannotBePrinted(t *testing.T) {
	t.Parallel()
	secret, pin := NewSecret(canarySecret), NewPIN(canaryPIN)
	wantHidden(t, "secret", secret, canarySecret)
	wantHidden(t, "secret pointer", &secret, canarySecret)
	wantHidden(t, "PIN", pin, canaryPIN)
	wantHidden(t, "PIN in a map", map[string]PIN{"a": pin}, canaryPIN)
	wantHidden(t, "exported field", struct{ S Secret }{secret}, canarySecret)
	wantHidden(t, "unexported field", struct{ p PIN }{pin}, canaryPIN)
	wantHidden(t, "map key", map[Secret]int{secret: 1}, canarySecret)
	wantHidden(t, "config", validConfig(), canarySecret)
}

func TestSecret_RevealAndEqual(t *testing.T) {
	t.Parallel()
	var read Secret
	if err := read.UnmarshalText([]byte(canarySecret)); err != nil {
		t.Fatal(err)
	}
	if read.Reveal() != canarySecret || !read.Equal(NewSecret(canarySecret)) || read.Equal(NewSecret("other")) || read.IsZero() {
		t.Error("a secret read from text differs from one made of the same string")
	}
	if zero := (Secret{}); !zero.IsZero() || zero.Reveal() != "" || !zero.Equal(NewSecret("")) {
		t.Error("the zero secret is not the empty one")
	}
	if got := (PIN{}).String(); got != redacted {
		t.Errorf("zero PIN prints %q, want %q", got, redacted)
	}
}
