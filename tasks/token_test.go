package tasks

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func mustToken(t testing.TB, s string) PublicToken {
	t.Helper()
	token, err := ParsePublicToken(s)
	if err != nil {
		t.Fatalf("ParsePublicToken = %v", err)
	}
	return token
}

func TestParsePublicToken_Accepts(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1", "103169946", "abcXYZ019", "AAAAAAAAA", "000"} {
		token, err := ParsePublicToken(s)
		if err != nil || token.Reveal() != s || token.IsZero() {
			t.Errorf("ParsePublicToken(%q) = %q, %v", s, token.Reveal(), err)
		}
	}
}

func TestParsePublicToken_RefusesWithoutRepeating(t *testing.T) {
	t.Parallel()
	const isCard, isForeign, isLong, isEmpty = "card number", "no ASCII letter or digit", "at most 9", "empty"
	for in, mentions := range map[string]string{
		"":                              isEmpty,
		"1031699467":                    isLong,
		"abcdefghijk":                   isLong,
		"12345678901":                   isLong, // eleven digits: not yet a card number
		"123456789012":                  isCard,
		"4111111111111111":              isCard,
		"4111 1111 1111 1111":           isCard,
		"4111-1111-1111-1111":           isCard,
		"4111.1111.1111.1111":           isCard,
		"4111111111111111\n":            isCard,
		"4111\u00a01111\u00a01111 1111": isCard,
		"PAN4111111111111111":           isCard,
		"103 169":                       isForeign,
		"103-169":                       isForeign,
		"103169946\n":                   isForeign,
		" 103169946":                    isForeign,
		"１２３":                           isForeign, // full-width digits
		"münze":                         isForeign,
		"a/../b":                        isForeign,
		"a%2F":                          isForeign,
		"a\x00b":                        isForeign,
	} {
		token, err := ParsePublicToken(in)
		if !errors.Is(err, ErrInvalidPublicToken) || !token.IsZero() {
			t.Errorf("ParsePublicToken(%q) = %q, %v, want no token and ErrInvalidPublicToken", in, token.Reveal(), err)
			continue
		}
		if !strings.Contains(err.Error(), mentions) {
			t.Errorf("ParsePublicToken(%q) = %q, want it to mention %q", in, err, mentions)
		}
		for _, part := range []string{in, "1111", "103", "1234"} {
			if part != "" && strings.Contains(err.Error(), part) {
				t.Errorf("ParsePublicToken(%q) = %q, which repeats %q", in, err, part)
			}
		}
	}
}

func TestPublicToken_EqualTokensAreEqual(t *testing.T) {
	t.Parallel()
	a, b, c := mustToken(t, "103169946"), mustToken(t, strings.Clone("103169946")), mustToken(t, "103169947")
	if a != b || a == c || a == (PublicToken{}) {
		t.Errorf("a == b: %v, a == c: %v, a == zero: %v; want true, false, false", a == b, a == c, a == PublicToken{})
	}
}

func TestPublicToken_Masked(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"103169946": "******946", "1234": "*234", "123": "***", "12": "**", "1": "*",
	} {
		if got := mustToken(t, in).Masked(); got != want {
			t.Errorf("Masked(%q) = %q, want %q", in, got, want)
		}
	}
	if got := (PublicToken{}).Masked(); got != "" {
		t.Errorf("Masked of the zero token = %q, want nothing", got)
	}
}

// nested holds a token where fmt does not call its methods.
type nested struct {
	Public PublicToken
	hidden PublicToken
	list   []PublicToken
	byName map[string]PublicToken
}

func TestPublicToken_ShowsNowhere(t *testing.T) {
	t.Parallel()
	const secret = "Zx7Qw9946"
	token := mustToken(t, secret)
	in := nested{Public: token, hidden: token, list: []PublicToken{token}, byName: map[string]PublicToken{"a": token}}
	shown := map[string]string{}
	for verb := byte('A'); verb <= 'z'; verb++ {
		for _, flags := range []string{"", "+", "#", "-20", " ", "020", ".30"} {
			format := "%" + flags + string(verb)
			shown["token "+format] = fmt.Sprintf(format, token)
			shown["pointer "+format] = fmt.Sprintf(format, &token)
			shown["struct "+format] = fmt.Sprintf(format, in)
			shown["slice "+format] = fmt.Sprintf(format, in.list)
			shown["map "+format] = fmt.Sprintf(format, in.byName)
			shown["key "+format] = fmt.Sprintf(format, map[PublicToken]int{token: 1})
			shown["error "+format] = fmt.Sprintf(format, fmt.Errorf("card %v", token))
		}
	}
	for name, encode := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
		b, err := encode(token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		shown[name] = string(b)
	}
	b, err := json.Marshal(map[string]any{"s": in, "p": &token, "k": map[PublicToken]int{token: 1}})
	if err != nil {
		t.Errorf("json: %v", err)
	}
	shown["json of all"] = string(b)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token, "in", in)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token, "in", in)
	shown["slog"] = log.String()

	for how, s := range shown {
		if strings.Contains(s, secret) || strings.Contains(s, secret[:6]) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
			t.Errorf("%s shows the token: %s", how, s)
		}
	}
	for how, want := range map[string]string{
		"token %v": "******946", "token %s": "******946", "token %#v": "******946", "token %d": "******946",
		"json": `"******946"`, "xml": "<PublicToken>******946</PublicToken>",
	} {
		if shown[how] != want {
			t.Errorf("%s = %q, want %q", how, shown[how], want)
		}
	}
}

func FuzzParsePublicToken(f *testing.F) {
	for _, s := range []string{"", "103169946", "4111 1111 1111 1111", "1031699467", "münze", "a\x00", "123"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParsePublicToken(s)
		if err != nil {
			if !errors.Is(err, ErrInvalidPublicToken) || !token.IsZero() {
				t.Fatalf("ParsePublicToken = %v, with token: %v", err, !token.IsZero())
			}
			return
		}
		if token.Reveal() != s || len(s) < 1 || len(s) > MaxPublicToken {
			t.Fatalf("ParsePublicToken(%q) reveals %q", s, token.Reveal())
		}
		if m := token.Masked(); len(m) != len(s) || (len(s) > 3 && !strings.HasSuffix(s, m[len(m)-3:])) {
			t.Fatalf("Masked(%q) = %q", s, m)
		}
		if !ValidID(token.Shard() + "-01KAJ4S7Q0Z5M2E8H6N3T9RXVB") {
			t.Fatalf("Shard(%q) = %q makes no valid id", s, token.Shard())
		}
		if strings.Contains(token.Digest(), s) && len(s) > 4 {
			t.Fatalf("Digest(%q) = %q holds the token", s, token.Digest())
		}
	})
}
