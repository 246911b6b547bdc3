package payblr

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
)

// maxRemark bounds the free text taken over from a status reply, in characters.
const maxRemark = 200

// minMaskedToken is the length from which a public token is looked for in free
// text. Real ones have nine characters; a token of one or two letters would mask
// half of any sentence and identifies nothing.
const minMaskedToken = 4

// digitRun finds six or more digits of any script, also when they are grouped as
// on a card.
var digitRun = regexp.MustCompile(`\p{Nd}(?:[ \-.]?\p{Nd}){5,}`)

// remark reads a code or a description, given as string or number.
type remark struct {
	text string
	set  bool
}

// UnmarshalJSON never fails; what is neither string nor number counts as absent.
func (r *remark) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		*r = remark{text: s, set: true}
		return nil
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil && n != "" {
		*r = remark{text: n.String(), set: true}
	}
	return nil
}

func firstRemark(publicToken string, remarks ...remark) *string {
	for _, r := range remarks {
		if r.set {
			s := sanitize(r.text, publicToken)
			return &s
		}
	}
	return nil
}

// sanitize makes upstream free text fit to keep: valid UTF-8, one line, at most
// maxRemark characters, without the public token and without long numbers.
// Masking comes before cutting, or a number cut short would escape it.
func sanitize(text, publicToken string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(publicToken) >= minMaskedToken {
		text = strings.ReplaceAll(text, publicToken, strings.Repeat("*", len(publicToken)))
	}
	text = digitRun.ReplaceAllStringFunc(text, func(run string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return '*'
			}
			return r
		}, run)
	})
	if runes := []rune(text); len(runes) > maxRemark {
		text = string(runes[:maxRemark])
	}
	return strings.TrimSpace(text)
}
