// Package payblr is a client of the Payblr PSP API's "CVV & PIN Management"
// calls, which front the Thredd Cards API: read a PIN or CVV status, unblock a
// PIN or CVV, read a PIN.
//
// It makes each call exactly once and says truthfully what came of it. It does
// not retry, queue or confirm: that is for the caller, who knows what a second
// call would cost. The one exception is a 401, after which the access token is
// replaced and the call sent a second time, because a request that was refused
// unread has changed nothing.
//
// # How the parts meet
//
// A [Client] method validates its arguments, obtains an access token (one
// exchange in flight per client, however many callers wait), asks [Config.Gate]
// whether the request may leave, sends it, reads a bounded reply, and classifies
// what happened. Every failure is an [*Error] with a [Class], which says what
// kind of reaction fits, and a [Reason], which says why and fits a metric label.
//
// # Did it happen?
//
// An unblock changes a card even when its reply is lost. [Error.MayHaveApplied]
// separates the failures after which the card may have been unblocked from those
// that prove it was not; after the former, read the status before sending again.
// net/http, which repeats some requests by itself when a connection breaks, is
// kept from repeating these.
//
// # Secrets
//
// The client secret, the access token, the subscription key, the PIN and the
// public token (which is part of the request path) appear in no error, and the
// types [Secret] and [PIN] print as a placeholder whatever the verb. No text
// from a reply reaches an error, except codes and trace ids of a fixed form.
package payblr
