package sandbox

import (
	"net/http"
	"strconv"
)

// statusBody is the answer to a status read. RemainingTries is a string, a
// number or nil (absent): the Thredd guide shows a string, its field table
// states no type, and for the CVV it shows none at all.
type statusBody struct {
	Status                string `json:"status"`
	RemainingTries        any    `json:"remainingTries,omitempty"`
	RemainingOfflineTries any    `json:"remainingOfflineTries,omitempty"`
	StatusCode            string `json:"statusCode,omitempty"`
	Description           string `json:"description,omitempty"`
}

// blockedWord is how the API says it.
func blockedWord(blocked bool) string {
	if blocked {
		return "Blocked"
	}
	return "Unblocked"
}

// readStatus executes a status read: it uses up one read of a lag.
func (s *Sandbox) readStatus(c *card, call Call, rec *record) answer {
	c.mu.Lock()
	s.ledger.read(rec)
	cred, view := c.credential(call)
	shown := view.visible(*cred)
	t := behaviours[c.state.Behaviour]
	c.mu.Unlock()

	tries := func(n int) any {
		if t.triesNumber {
			return n
		}
		return strconv.Itoa(n)
	}
	body := statusBody{Status: blockedWord(shown.Blocked)}
	if !t.triesAbsent {
		body.RemainingTries = tries(shown.RemainingTries)
	}
	if shown.RemainingOfflineTries != nil {
		body.RemainingOfflineTries = tries(*shown.RemainingOfflineTries)
	}
	if t.statusCode {
		body.StatusCode, body.Description = "00", "All good"
		if shown.Blocked {
			body.StatusCode, body.Description = "75", "Allowable number of tries exceeded"
		}
	}
	a := jsonAnswer(http.StatusOK, typeJSON, body)
	a.said = new(shown.Blocked)
	return a
}

// readPIN executes the PIN call.
func (s *Sandbox) readPIN(c *card) answer {
	switch s.cfg.Profile {
	case ProfileUAT:
		return notRouted()
	case ProfileForbidden:
		return problem(http.StatusForbidden, "Reading the PIN is not enabled for this client.", nil)
	}
	if c == nil {
		return unknownCard()
	}
	return jsonAnswer(http.StatusOK, typeJSON, map[string]string{"pin": string(s.pinOf(c))})
}

// pinOf is the card's PIN, given or derived.
func (s *Sandbox) pinOf(c *card) PIN {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.PINValue != "" {
		return c.state.PINValue
	}
	return derivePIN(s.cfg.Seed, c.state.PublicToken)
}

// unknownCard is the answer for a token that is no card of this client.
func unknownCard() answer {
	return problem(http.StatusNotFound, "The card was not found.", nil)
}

// notRouted is the gateway's answer for a path that it does not know.
func notRouted() answer { return gatewayError(http.StatusNotFound, "Resource not found") }
