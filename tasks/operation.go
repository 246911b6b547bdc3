package tasks

import "time"

// Operation is one request of a backend, from the moment it was accepted to its end: the thing a backend
// holds, in Go and, by its JSON, everywhere else. It is a snapshot; a later one comes from reading it
// again. It holds no secret: the public token in it is masked.
//
// All times are UTC by the clock of Redis, to the millisecond.
type Operation struct {
	// ID is unique for ever. It is opaque, but its prefix names the shard that holds the record.
	ID string `json:"id"`
	// Kind is what was asked for.
	Kind Kind `json:"kind"`
	// PublicToken is the card's token, masked to its last three characters.
	PublicToken string `json:"public_token"`
	// State is where the operation stands.
	State State `json:"state"`
	// Done is true in a terminal state.
	Done bool `json:"done"`
	// Status is the newest status that was read for this operation, or nil. Of an unblock that has
	// succeeded it was read after the API accepted the unblock, or after it refused one because of the
	// card's state (a conflict), and says unblocked.
	Status *Status `json:"status"`
	// Error says why a failed operation failed; nil in every other state.
	Error *Error `json:"error"`
	// UnblockAcceptedAt is when the API was known to have accepted the unblock, or nil. It is nil, too,
	// when the API answered with a conflict because the card was unblocked already.
	UnblockAcceptedAt *time.Time `json:"unblock_accepted_at"`
	// Attempts counts how often the operation's first step was begun: the unblock, or the read of a
	// refresh. Confirming reads are not attempts.
	Attempts int `json:"attempts"`
	// CreatedAt is when the operation was accepted.
	CreatedAt time.Time `json:"created_at"`
	// UpdatedAt is when its record last changed.
	UpdatedAt time.Time `json:"updated_at"`
	// ExpiresAt is the time after which no call to the API is started for it.
	ExpiresAt time.Time `json:"expires_at"`
	// NextAttemptAt is when a waiting retry or re-read is due, or nil.
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Status is what the API said of a card's PIN or CVV at one moment.
type Status struct {
	// Value is the API's own word: "Blocked" or "Unblocked".
	Value string `json:"value"`
	// Blocked is Value as a fact.
	Blocked bool `json:"blocked"`
	// RemainingTries is how many wrong entries are left before a block, or nil when the API did not say.
	RemainingTries *int `json:"remaining_tries"`
	// RemainingOfflineTries is the same for the chip's own counter, which an unblock need not reset.
	RemainingOfflineTries *int `json:"remaining_offline_tries"`
	// Code and Description are the API's, where it sends them.
	Code        *string `json:"code"`
	Description *string `json:"description"`
	// ObservedAt is when the answer was recorded.
	ObservedAt time.Time `json:"observed_at"`
}

// Error says why an operation failed.
type Error struct {
	// Code is for programs.
	Code Code `json:"code"`
	// Message is for people. It holds no secret and nothing that the API wrote.
	Message string `json:"message"`
	// Retryable says that the same request may succeed later.
	Retryable bool `json:"retryable"`
}
