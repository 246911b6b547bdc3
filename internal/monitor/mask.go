package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/cardworker/cardworker/tasks"
)

const (
	hidden  = "[hidden]"
	unknown = "(unknown)" // stands for the name of a field that no payload of ours has
)

var (
	smallNumber   = regexp.MustCompile(`^[0-9]{1,5}$`)
	maskedToken   = regexp.MustCompile(`^\*{1,9}[0-9A-Za-z]{0,3}$`)
	hiddenPayload = regexp.MustCompile(`^\[hidden, [0-9]+ bytes\]$`)
)

// maskPayload returns what may be seen of a payload or a result, and the public token in it, if any.
// It is an allow-list: of a JSON object it shows the fields that identify an operation, each only when
// its value has the expected form, a masked token, and the names of the other fields of the contract.
// Of anything else it tells the size. Masking its own answer again changes nothing.
func maskPayload(raw []byte) (shown, token string) {
	if len(raw) == 0 || hiddenPayload.Match(raw) {
		return string(raw), ""
	}
	fields, ok := decodeObject(raw)
	if !ok {
		return fmt.Sprintf("[hidden, %d bytes]", len(raw)), ""
	}
	visible := make(map[string]any, len(fields))
	for name, value := range fields {
		switch name {
		case "version", "seq":
			visible[name] = maskNumber(value)
		case "operation_id":
			visible[name] = maskID(value)
		case "expires_at":
			visible[name] = maskTime(value)
		case "public_token":
			visible[name], token = maskToken(value)
		case "idempotency_key", "reason", "updated_by":
			visible[name] = hidden
		default:
			// Even the name of a stranger's field may be a token.
			visible[unknown] = hidden
		}
	}
	b, err := json.Marshal(visible)
	if err != nil {
		return fmt.Sprintf("[hidden, %d bytes]", len(raw)), token
	}
	return string(b), token
}

// decodeObject reads one JSON object and nothing after it, numbers as they are written.
func decodeObject(raw []byte) (map[string]any, bool) {
	if len(raw) > tasks.MaxPayload {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return nil, false
	}
	_, err := dec.Token()
	return fields, err == io.EOF
}

// maskNumber shows a number too short to be a token worth hiding.
func maskNumber(value any) any {
	if n, ok := value.(json.Number); ok && smallNumber.MatchString(n.String()) {
		return n
	}
	return hidden
}

func maskID(value any) any {
	if s, ok := value.(string); ok && tasks.ValidID(s) {
		return s
	}
	return hidden
}

// maskTime writes the time anew: the fraction of a second could hold any nine digits.
func maskTime(value any) any {
	s, ok := value.(string)
	if !ok {
		return hidden
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return hidden
	}
	return t.UTC().Format(time.RFC3339)
}

// maskToken returns the masked form of a token and the token itself. What is no token is hidden
// whole: it may be a card number.
func maskToken(value any) (shown any, token string) {
	var s string
	switch v := value.(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
	}
	if maskedToken.MatchString(s) {
		return s, ""
	}
	t, err := tasks.ParsePublicToken(s)
	if err != nil {
		return hidden, ""
	}
	return t.Masked(), t.Reveal()
}

var (
	// callPath finds a card in the URL of an API call, which the errors of net/http repeat.
	callPath = regexp.MustCompile(`(/card-(?:pin|cvv)/)([^/\s"?#]+)`)
	// namedToken finds a token that its name comes before, in JSON (also quoted once more) or key=value.
	namedToken = regexp.MustCompile(`(?i)(public_?token\\*"?\s*(?:=\s*\\*"?|:\s*\\*"))([0-9A-Za-z]+)`)
	// longNumber finds digits in the length of a token, or in that of a card number written in groups,
	// and operation ids, which may hold such digits and have to stay whole.
	longNumber = regexp.MustCompile(`cw[0-9]{2}-[0-9A-Z]{26}|[0-9](?:[ -]?[0-9]){11,}|[0-9]{6,}`)
)

// maskText hides what looks like a token or a card number in a text for people, and each of the given
// tokens wherever it stands as a word of its own.
func maskText(s string, tokens []string) string {
	s = replaceSecond(callPath, s)
	s = replaceSecond(namedToken, s)
	if len(tokens) > 0 {
		// Tokens consist of letters and digits alone, so none needs quoting.
		words := regexp.MustCompile(`\b(?:` + strings.Join(tokens, "|") + `)\b`)
		s = words.ReplaceAllStringFunc(s, maskWord)
	}
	return longNumber.ReplaceAllStringFunc(s, maskWord)
}

// replaceSecond masks the second group of each match.
func replaceSecond(re *regexp.Regexp, s string) string {
	return re.ReplaceAllStringFunc(s, func(match string) string {
		groups := re.FindStringSubmatch(match)
		return groups[1] + maskWord(groups[2])
	})
}

func maskWord(word string) string {
	if tasks.ValidID(word) || maskedToken.MatchString(word) {
		return word
	}
	t, err := tasks.ParsePublicToken(word)
	if err != nil {
		return hidden
	}
	return t.Masked()
}
