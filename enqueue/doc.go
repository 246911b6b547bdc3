// Package enqueue is for app backends: it has a card's PIN or CVV unblocked, or its status read, and tells
// what came of it.
//
// A [Client] accepts an operation with one call ([Client.UnblockPIN] and its siblings). From then on the
// operation is cardworker's to see through; the caller may wait for its end ([Client.Wait]), follow it
// ([Client.Watch]), read it at any time ([Client.Get]), or go away. The answer is true: an unblock that
// has succeeded was read back after the API accepted it.
//
// Asking twice is safe. With an idempotency key the same request is the same operation for 24 hours;
// without one, a request joins the open operation of the same kind for the same card.
package enqueue
