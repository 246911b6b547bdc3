package payblr

import "context"

// UnblockPIN asks the API to unblock the card's PIN, which also resets the count
// of wrong tries to its maximum. It may be called for a card that is not blocked.
//
// nil means accepted (204 is documented, any 2xx is taken), not that the card is
// unblocked: read [Client.PINStatus] for that. Errors are [*Error]; see
// [Error.MayHaveApplied] before calling again.
func (c *Client) UnblockPIN(ctx context.Context, publicToken string, note Note) error {
	// The API answers 415 without a JSON content type, so a body always goes
	// along, {} at the least.
	return c.unblock(ctx, CallUnblockPIN, publicToken, note, "")
}

// UnblockCVV asks the API to unblock the card's CVV. nil and errors mean what
// they mean for [Client.UnblockPIN]; [Client.CVVStatus] confirms.
func (c *Client) UnblockCVV(ctx context.Context, publicToken string, note Note) error {
	return c.unblock(ctx, CallUnblockCVV, publicToken, note, StatusUnblocked)
}

func (c *Client) unblock(ctx context.Context, name CallName, publicToken string, note Note, status string) error {
	if !note.valid() {
		return &Error{Call: name, Class: ReasonInvalidNote.Class(), Reason: ReasonInvalidNote}
	}
	body := unblockBody{Status: status, Description: note.Description, UpdatedBy: note.UpdatedBy}
	return c.call(ctx, name, publicToken, body.encode(), nil)
}
