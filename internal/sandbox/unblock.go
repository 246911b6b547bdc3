package sandbox

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Bounds of the members of an unblock's body (Thredd, "Unblock CVV" field
// table; assumed to hold for the PIN as well, whose table states none).
const (
	maxDescription = 800
	maxUpdatedBy   = 100
)

// unblock executes PUT …/cvv/status and POST …/pin/unblock. On a card that is
// not blocked it is no error and fills the try counter all the same; only the
// strict profile objects.
func (s *Sandbox) unblock(r *http.Request, call Call, c *card, body *EntryBody, bodyErr error, rec *record) answer {
	if !isJSON(r.Header.Get("Content-Type")) {
		return problem(http.StatusUnsupportedMediaType, "Unsupported Media Type", nil)
	}
	if bodyErr != nil {
		return problem(http.StatusBadRequest, "One or more validation errors occurred.",
			map[string][]string{"$": {"The body is not a valid JSON object."}})
	}
	if wrong := body.check(call); len(wrong) > 0 {
		return problem(http.StatusBadRequest, "One or more validation errors occurred.", wrong)
	}
	if c == nil {
		return unknownCard()
	}
	block := call == CallUnblockCVV && *body.Status == blockedWord(true)

	c.mu.Lock()
	cred, _ := c.credential(call)
	before := cred.Blocked
	if s.cfg.Profile == ProfileStrict && !block && !before {
		c.mu.Unlock()
		return problem(http.StatusConflict, "The resource is already in the requested state.", nil)
	}
	c.change(call, block, s.cfg.MaxTries)
	s.ledger.applied(rec, before, block)
	c.mu.Unlock()
	s.ledger.notify(rec)
	return answer{status: http.StatusNoContent}
}

// isJSON reports whether a content type is application/json or a +json type.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// parseEntryBody reads the body of an unblock. An empty body and null are an
// object without members, which is enough for the PIN and not for the CVV.
func parseEntryBody(body []byte) (*EntryBody, error) {
	parsed := &EntryBody{}
	if len(body) == 0 {
		return parsed, nil
	}
	if err := json.Unmarshal(body, parsed); err != nil {
		return nil, err
	}
	return parsed, nil
}

// check returns what is wrong with a body, by member.
func (b *EntryBody) check(call Call) map[string][]string {
	wrong := map[string][]string{}
	if call == CallUnblockCVV {
		switch {
		case b.Status == nil:
			wrong["status"] = []string{"The status field is required."}
		case *b.Status != blockedWord(true) && *b.Status != blockedWord(false):
			wrong["status"] = []string{"The value is not valid."}
		}
	}
	tooLong := func(name string, value *string, bound int) {
		if value != nil && utf8.RuneCountInString(*value) > bound {
			wrong[name] = []string{fmt.Sprintf("The length must be %d characters or fewer.", bound)}
		}
	}
	tooLong("description", b.Description, maxDescription)
	tooLong("updatedBy", b.UpdatedBy, maxUpdatedBy)
	return wrong
}
