// Package audit tells whether a run of cardworker kept its promises. It compares what the producers saw,
// what the card processor's API saw, and what the operation store wrote down, and returns every
// [Violation] of an invariant together with the history of the operation that broke it.
//
// The invariants, which [Run.Check] looks at one by one:
//
//	I1   no loss          every accepted operation reaches exactly one terminal state in time
//	I2   no phantom       succeeded means that the API applied the unblock and a later read said so
//	I3   no wrong failure failed without an accepted unblock means that none was applied, or the code says
//	                      that it may have been
//	I4   no blind repeats an unblock is not sent again before a status was read, unless it was refused;
//	                      never two at a time for one card and kind
//	I5   monotone         no reader sees an ended operation go on or change
//	I6   chain            every accepted unblock was confirmed, by holders whose fences only grow
//	I7   dedup            one idempotency key is one operation; with another kind or card it is refused
//	I8   deadline         no call of the API begins after the operation expired
//	I12  legal path       the events of every operation form a path through its states
package audit
