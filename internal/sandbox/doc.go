// Package sandbox is a Payblr PSP API to develop and test against: the token
// endpoint, the five CVV and PIN calls, and the ways they fail. It keeps its
// state in memory, needs no setup, and writes down every request it gets.
//
// # How the parts meet
//
// A request becomes a [Call] and an [Entry] in the ledger the moment it
// arrives. Its bearer token is checked, then at most one [Fault] is chosen for
// it: a scripted one (AddFault) first, else what the card's [Behaviour] asks
// for, else what [Chaos] rolls. The fault says whether the call is executed
// and what becomes of its answer; without a fault the call is executed and
// answered. State changes under the card's own lock, and the ledger notes the
// change under that same lock, so the order in the ledger is the order in
// which things happened. No lock is held while the sandbox waits or writes.
//
// # Cards
//
// Nine-digit public tokens are cards by range (see [MagicCards]): a newcomer
// picks a number and gets its behaviour, no setup needed. Any other token is
// unknown (404) until SetCard makes it a card. State is kept per card and
// grows by a few hundred bytes with each different card that is used.
//
// # The API
//
//	POST /oauth2/v2.0/token                            (also below any prefix, as with a tenant)
//	GET  /thr/thredd/card-cvv/{publicToken}/cvv/status
//	PUT  /thr/thredd/card-cvv/{publicToken}/cvv/status
//	GET  /thr/thredd/card-pin/{publicToken}/pin
//	GET  /thr/thredd/card-pin/{publicToken}/pin/status
//	POST /thr/thredd/card-pin/{publicToken}/pin/unblock
//
// # The control API
//
// The same control is there in Go (methods of [Sandbox]) and over HTTP. The
// control API has no login and shows full public tokens, so serve it on
// loopback only; requests that a browser marks as coming from another site are
// refused. Bodies are JSON, unknown fields are refused, and an error answers
// {"error": "what is wrong"}.
//
//	GET    /_sandbox/health          200 while the sandbox serves
//	GET    /_sandbox/magic-cards     the table of ranges
//	GET    /_sandbox/cards/{token}   one card, 404 when there is none
//	POST   /_sandbox/cards/{token}   sets the given fields of a card, creating it when needed
//	GET    /_sandbox/faults          the scripted faults that are not used up
//	POST   /_sandbox/faults          adds one fault, or a list of them
//	DELETE /_sandbox/faults          removes all
//	GET    /_sandbox/chaos           the chaos setting
//	PUT    /_sandbox/chaos           replaces it
//	DELETE /_sandbox/chaos           ends it
//	GET    /_sandbox/ledger          entries; ?public_token=, ?call=, ?since=SEQ (only later ones)
//	DELETE /_sandbox/ledger          forgets the entries and zeroes the counters
//	GET    /_sandbox/counters        calls, faults and fee-bearing calls by kind
//	DELETE /_sandbox/tokens          revokes every access token
//	POST   /_sandbox/reset           all of the above: a fresh sandbox
//
// A PIN leaves the sandbox only as the answer to the PIN call, never through
// the control API, the ledger or a log line.
package sandbox
