package bench

import (
	"fmt"
	"strconv"
)

// card is a card of a run: the n-th that is unblocked, or the n-th that is refreshed. No two requests of a run
// are for one card, so that none joins another and no limit is reached.
type card struct {
	refresh bool
	n       int
}

// token is the card's public token.
func (c card) token() string {
	kind := "u"
	if c.refresh {
		kind = "r"
	}
	return fmt.Sprintf("%s%07d", kind, c.n)
}

// cardOf reads a public token.
func cardOf(token string) (card, error) {
	if token == "" {
		return card{}, fmt.Errorf("no public token")
	}
	n, err := strconv.Atoi(token[1:])
	if err != nil || (token[0] != 'u' && token[0] != 'r') {
		return card{}, fmt.Errorf("a public token that no run has")
	}
	return card{token[0] == 'r', n}, nil
}

// cards are the n cards from first.
func cards(refresh bool, first, n int) []card {
	out := make([]card, n)
	for i := range out {
		out[i] = card{refresh, first + i}
	}
	return out
}
