package payblr

// Class says what kind of reaction a failure calls for. The set is closed.
type Class uint8

// The classes. The zero value is "no failure", so that it can stand in a [Call]
// that succeeded; an [*Error] never has it. Were a caller to meet it in one, the
// safe reading is ClassUnavailable: nothing is known, read before repeating.
const (
	ClassNone         Class = iota
	ClassNotFound           // 404: no such card for this client, or no such call in this deployment
	ClassNotAllowed         // 403: refused for this card
	ClassRejected           // another 4xx, or an argument that was not sent: the same request will be refused again
	ClassConflict           // 409: the state of the card is in the way; read it
	ClassUnauthorized       // the client's credentials are refused; an operator must act
	ClassThrottled          // 429 or a used-up quota: wait Error.RetryAfter
	ClassUnavailable        // 5xx, time-outs, lost connections, no token to be had: try later
	ClassBadResponse        // a reply arrived that makes no sense
	ClassNotSent            // the caller's own limits stopped the request before it left
)

var classNames = [...]string{
	ClassNone:         "none",
	ClassNotFound:     "not_found",
	ClassNotAllowed:   "not_allowed",
	ClassRejected:     "rejected",
	ClassConflict:     "conflict",
	ClassUnauthorized: "unauthorized",
	ClassThrottled:    "throttled",
	ClassUnavailable:  "unavailable",
	ClassBadResponse:  "bad_response",
	ClassNotSent:      "not_sent",
}

// String returns the class in snake_case, fit for a metric label.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "invalid_class"
}

// Reason says why a call failed, in snake_case, fit for a metric label. The set
// is closed, and each reason belongs to one class.
type Reason string

// The reasons, by class.
const (
	ReasonNotFound  Reason = "not_found"
	ReasonForbidden Reason = "forbidden"
	ReasonConflict  Reason = "conflict"

	ReasonBadRequest           Reason = "bad_request"            // 400
	ReasonMethodNotAllowed     Reason = "method_not_allowed"     // 405
	ReasonUnsupportedMediaType Reason = "unsupported_media_type" // 415
	ReasonUnprocessable        Reason = "unprocessable"          // 422
	ReasonClientError          Reason = "client_error"           // another 4xx
	ReasonInvalidPublicToken   Reason = "invalid_public_token"   // not 1 to 9 ASCII letters or digits; not sent
	ReasonInvalidNote          Reason = "invalid_note"           // too long or not UTF-8; not sent

	ReasonAccessTokenRefused     Reason = "access_token_refused"     // 401, also with a new token
	ReasonSubscriptionKeyRefused Reason = "subscription_key_refused" // 401 about the subscription key
	ReasonClientRefused          Reason = "client_refused"           // the token endpoint refuses client id, secret or scope

	ReasonThrottled      Reason = "throttled"       // 429
	ReasonQuotaExceeded  Reason = "quota_exceeded"  // 403 "Out of call volume quota"
	ReasonTokenThrottled Reason = "token_throttled" // 429 from the token endpoint

	ReasonServerError        Reason = "server_error"        // 500 and rarer 5xx
	ReasonBadGateway         Reason = "bad_gateway"         // 502
	ReasonServiceUnavailable Reason = "service_unavailable" // 503
	ReasonGatewayTimeout     Reason = "gateway_timeout"     // 504
	ReasonRequestTimeout     Reason = "request_timeout"     // 408
	ReasonTimeout            Reason = "timeout"             // Config.Timeout passed after a connection was had
	ReasonCancelled          Reason = "cancelled"           // the caller cancelled while the request was on its way
	ReasonDeadlineExceeded   Reason = "deadline_exceeded"   // the caller's deadline passed, likewise
	ReasonConnectionLost     Reason = "connection_lost"     // reset or closed before a reply
	ReasonTruncated          Reason = "truncated"           // the reply ended early
	ReasonDNSFailed          Reason = "dns_failed"
	ReasonConnectRefused     Reason = "connect_refused"
	ReasonConnectTimeout     Reason = "connect_timeout" // no connection in time, also for want of a free one
	ReasonConnectFailed      Reason = "connect_failed"
	ReasonTLSFailed          Reason = "tls_failed"
	ReasonTokenUnavailable   Reason = "token_unavailable" // the token endpoint is down, slow or failing
	ReasonTokenUnreadable    Reason = "token_unreadable"  // the token endpoint answers something else
	ReasonClosed             Reason = "closed"            // Client.Close came before the token

	ReasonRedirect         Reason = "redirect"          // 3xx, never followed
	ReasonUnexpectedStatus Reason = "unexpected_status" // 1xx, or above 599
	ReasonEmptyBody        Reason = "empty_body"
	ReasonBodyTooLarge     Reason = "body_too_large"
	ReasonUnreadableBody   Reason = "unreadable_body" // not a JSON object
	ReasonWrongShape       Reason = "wrong_shape"     // the field that matters is missing, mistyped or contradicts itself
	ReasonUnknownStatus    Reason = "unknown_status"  // neither Blocked nor Unblocked

	ReasonGateRefused            Reason = "gate_refused"
	ReasonStartedTooLate         Reason = "started_too_late"
	ReasonCancelledBeforeSending Reason = "cancelled_before_sending"
	ReasonDeadlineBeforeSending  Reason = "deadline_before_sending"
)

// outcome of a write, as far as a reason tells.
const (
	unknown   = true  // the card may have been unblocked
	untouched = false // the API refused, or never saw the request
)

type reasonFacts struct {
	class          Class
	mayHaveApplied bool
	text           string // what failed and what to do
}

// reasons is the whole table: class, what an unblock may have done, and the
// sentence for the operator.
var reasons = map[Reason]reasonFacts{
	ReasonNotFound:  {ClassNotFound, untouched, "the API does not know this card, or this deployment does not offer the call"},
	ReasonForbidden: {ClassNotAllowed, untouched, "the API refuses this operation for this card"},
	ReasonConflict:  {ClassConflict, untouched, "the card's state does not allow it; read the status"},

	ReasonBadRequest:           {ClassRejected, untouched, "the API refuses the request as sent"},
	ReasonMethodNotAllowed:     {ClassRejected, untouched, "the API does not offer this method here; check the base URL"},
	ReasonUnsupportedMediaType: {ClassRejected, untouched, "the API refuses the content type"},
	ReasonUnprocessable:        {ClassRejected, untouched, "the API refuses the content of the request"},
	ReasonClientError:          {ClassRejected, untouched, "the API refuses the request as sent"},
	ReasonInvalidPublicToken:   {ClassRejected, untouched, "the public token must be 1 to 9 ASCII letters or digits; nothing was sent"},
	ReasonInvalidNote:          {ClassRejected, untouched, "the description must be UTF-8 of at most 800 characters, updated-by of at most 100; nothing was sent"},

	ReasonAccessTokenRefused:     {ClassUnauthorized, untouched, "the API refuses the access token, also a new one; check the scope and the client's access"},
	ReasonSubscriptionKeyRefused: {ClassUnauthorized, untouched, "the API refuses the subscription key; check that it is set and valid"},
	ReasonClientRefused:          {ClassUnauthorized, untouched, "the token endpoint refuses the client; check client id, client secret and scope"},

	ReasonThrottled:      {ClassThrottled, untouched, "the API's rate limit is exceeded; wait"},
	ReasonQuotaExceeded:  {ClassThrottled, untouched, "the API's call quota is used up; wait or have it raised"},
	ReasonTokenThrottled: {ClassThrottled, untouched, "the token endpoint's rate limit is exceeded; wait"},

	ReasonServerError:        {ClassUnavailable, unknown, "the API failed; try later"},
	ReasonBadGateway:         {ClassUnavailable, unknown, "the API's gateway got no good answer; try later"},
	ReasonServiceUnavailable: {ClassUnavailable, unknown, "the API is unavailable; try later"},
	ReasonGatewayTimeout:     {ClassUnavailable, unknown, "the API's gateway got no answer in time; try later"},
	ReasonRequestTimeout:     {ClassUnavailable, unknown, "the API gave up waiting for the request; try later"},
	ReasonTimeout:            {ClassUnavailable, unknown, "no complete answer in time; try later"},
	ReasonCancelled:          {ClassUnavailable, unknown, "cancelled while the request was under way"},
	ReasonDeadlineExceeded:   {ClassUnavailable, unknown, "the caller's deadline passed while the request was under way"},
	ReasonConnectionLost:     {ClassUnavailable, unknown, "the connection broke before an answer; try later"},
	ReasonTruncated:          {ClassUnavailable, unknown, "the answer ended early; try later"},
	ReasonDNSFailed:          {ClassUnavailable, untouched, "the host name does not resolve; check the URL and the resolver"},
	ReasonConnectRefused:     {ClassUnavailable, untouched, "the connection was refused; check the URL and the network"},
	ReasonConnectTimeout:     {ClassUnavailable, untouched, "no connection in time; check the network and the connection limit"},
	ReasonConnectFailed:      {ClassUnavailable, untouched, "no connection could be made; check the URL and the network"},
	ReasonTLSFailed:          {ClassUnavailable, untouched, "the TLS handshake failed; check the URL and the trusted certificates"},
	ReasonTokenUnavailable:   {ClassUnavailable, untouched, "the token endpoint gives no answer to use; try later"},
	ReasonTokenUnreadable:    {ClassUnavailable, untouched, "the token endpoint's answer is no token; check the token URL"},
	ReasonClosed:             {ClassUnavailable, untouched, "the client was closed"},

	ReasonRedirect:         {ClassBadResponse, unknown, "the API redirects, which is not followed; check the base URL"},
	ReasonUnexpectedStatus: {ClassBadResponse, unknown, "the API answers with a status that ends no call"},
	ReasonEmptyBody:        {ClassBadResponse, unknown, "the answer has no body"},
	ReasonBodyTooLarge:     {ClassBadResponse, unknown, "the answer is larger than any of this API"},
	ReasonUnreadableBody:   {ClassBadResponse, unknown, "the answer is not a JSON object; check the base URL"},
	ReasonWrongShape:       {ClassBadResponse, unknown, "the answer lacks the field that was asked for"},
	ReasonUnknownStatus:    {ClassBadResponse, unknown, "the answer's status is neither Blocked nor Unblocked"},

	ReasonGateRefused:            {ClassNotSent, untouched, "held back by the gate"},
	ReasonStartedTooLate:         {ClassNotSent, untouched, "the time to start was over; nothing was sent"},
	ReasonCancelledBeforeSending: {ClassNotSent, untouched, "cancelled before anything was sent"},
	ReasonDeadlineBeforeSending:  {ClassNotSent, untouched, "the caller's deadline passed before anything was sent"},
}

// Class returns the class that r belongs to: ClassNone for "", ClassUnavailable
// for a value outside the set.
func (r Reason) Class() Class {
	if r == "" {
		return ClassNone
	}
	if f, ok := reasons[r]; ok {
		return f.class
	}
	return ClassUnavailable
}
