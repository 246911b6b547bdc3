package payblr

import (
	"encoding/json"
	"unicode/utf8"
)

// Bounds of a [Note], in characters: Thredd's field table for Unblock CVV.
// Unblock PIN takes the same fields without stating lengths.
const (
	MaxDescription = 800
	MaxUpdatedBy   = 100
)

// Note says why and by whom a card is unblocked; the API keeps it with the card.
// Both fields are optional, the zero value sends neither. They must be valid
// UTF-8 and hold no secret: the API's other users can read them.
type Note struct {
	// Description is at most MaxDescription characters.
	Description string
	// UpdatedBy is at most MaxUpdatedBy characters.
	UpdatedBy string
}

func (n Note) valid() bool {
	return utf8.ValidString(n.Description) && utf8.RuneCountInString(n.Description) <= MaxDescription &&
		utf8.ValidString(n.UpdatedBy) && utf8.RuneCountInString(n.UpdatedBy) <= MaxUpdatedBy
}

// unblockBody is what both unblock calls send. Status is set for the CVV alone,
// where it is required and where the value "Blocked" would block the card.
type unblockBody struct {
	Status      string `json:"status,omitempty"`
	Description string `json:"description,omitempty"`
	UpdatedBy   string `json:"updatedBy,omitempty"`
}

func (b unblockBody) encode() []byte {
	raw, err := json.Marshal(b)
	if err != nil {
		panic("payblr: three strings do not marshal: " + err.Error())
	}
	return raw
}
