package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Point says on which side of the call's execution a fault acts.
type Point string

// The points.
const (
	Before Point = "before" // the zero value: the call is not executed
	After  Point = "after"  // the call is executed, its answer is replaced
)

// Action is what a fault does to an answer.
type Action string

// The actions. Those that carry the true answer (pass, and slow_body,
// headers_only and cut without a status of their own) execute the call
// whatever the fault's point.
const (
	// DoPass is the zero value: the true answer, changed by Headers, Fields
	// and CloseAfter.
	DoPass Action = "pass"
	// DoStatus answers with Status and a body of kind Body.
	DoStatus Action = "status"
	// DoReset drops the connection with a TCP reset, DoClose with a plain close.
	DoReset Action = "reset"
	DoClose Action = "close"
	// DoHang never answers: it holds the connection for Hold, or until the
	// client leaves or the sandbox stops, and drops it.
	DoHang Action = "hang"
	// DoSlowBody sends the headers and then a byte every Hold (0 = 100 ms).
	// An answer without a body is sent whole.
	DoSlowBody Action = "slow_body"
	// DoHeadersOnly sends the headers of a body that never comes, and hangs.
	// An answer without a body is sent whole.
	DoHeadersOnly Action = "headers_only"
	// DoCut sends half of the body and closes the connection; an answer
	// without a body is dropped.
	DoCut Action = "cut"
	// DoRedirect answers Status (0 = 307) with a Location: that of Headers,
	// else a path of the sandbox where nothing is.
	DoRedirect Action = "redirect"
)

// BodyKind is the shape of the body of an answer that a fault makes up.
type BodyKind string

// The body kinds.
const (
	BodyAuto      BodyKind = ""          // entra for the token call; apim for 401, 429 and 5xx; problem for other 4xx; else empty
	BodyProblem   BodyKind = "problem"   // problem details, as Thredd sends
	BodyAPIM      BodyKind = "apim"      // {"statusCode","message"}, as Azure API Management sends
	BodyEntra     BodyKind = "entra"     // {"error","error_description",…}, as Microsoft Entra ID sends
	BodyHTML      BodyKind = "html"      // an error page
	BodyEmpty     BodyKind = "empty"     // none
	BodyTruncated BodyKind = "truncated" // JSON that ends in the middle, in a complete answer
	BodyHuge      BodyKind = "huge"      // valid JSON of Size bytes
	BodyRaw       BodyKind = "raw"       // Raw, as application/json
)

const (
	defaultHugeSize = 16 << 20
	maxHugeSize     = 64 << 20
	maxFaults       = 10_000
	maxFaultWait    = 10 * time.Minute
)

// Fault is something that goes wrong with the calls it matches. The zero value
// matches every card call and passes it through unharmed.
type Fault struct {
	// Name is how the ledger calls the fault; empty in AddFault gets a number.
	Name string `json:"name,omitempty"`
	// Call and PublicToken say which calls it matches; empty matches every
	// card call, and every card. PublicToken is no use with CallToken.
	Call        Call   `json:"call,omitempty"`
	PublicToken string `json:"public_token,omitempty"`
	// Skip lets that many matching calls by first, Count is how many it hits
	// after them (0 = no end), Probability is the chance of each to be hit
	// (0 = certain).
	Skip        int     `json:"skip,omitempty"`
	Count       int     `json:"count,omitempty"`
	Probability float64 `json:"probability,omitempty"`
	// At and Do are what happens.
	At Point  `json:"at,omitempty"`
	Do Action `json:"do,omitempty"`
	// Delay passes before the call is executed or the fault acts, at most 10
	// minutes; Hold is what the actions say. JSON: Go duration strings ("1.5s").
	Delay time.Duration `json:"delay,omitempty"`
	Hold  time.Duration `json:"hold,omitempty"`
	// ApplyAfterDisconnect executes the call after Delay even if the client
	// has gone by then, as a backend behind a gateway would. Without it a
	// client that leaves during Delay has changed nothing.
	ApplyAfterDisconnect bool `json:"apply_after_disconnect,omitempty"`
	// Status, Body, Raw and Size make up an answer: 200 to 599; Size is bytes
	// of BodyHuge, 0 = 16 MiB, at most 64 MiB.
	Status int      `json:"status,omitempty"`
	Body   BodyKind `json:"body,omitempty"`
	Raw    string   `json:"raw,omitempty"`
	Size   int      `json:"size,omitempty"`
	// Headers replace or add headers of the answer.
	Headers map[string]string `json:"headers,omitempty"`
	// Fields replace members of the true answer's JSON object; null removes one.
	Fields map[string]any `json:"fields,omitempty"`
	// CloseAfter closes the connection after the answer without having said so
	// in a Connection header.
	CloseAfter bool `json:"close_after,omitempty"`
}

// faultWire is the JSON of a Fault: its durations are strings.
type faultWire struct {
	*faultFields
	Delay string `json:"delay,omitempty"`
	Hold  string `json:"hold,omitempty"`
}

type faultFields Fault

// MarshalJSON writes durations as Go duration strings.
func (f Fault) MarshalJSON() ([]byte, error) {
	wire := faultWire{faultFields: (*faultFields)(&f)}
	if f.Delay != 0 {
		wire.Delay = f.Delay.String()
	}
	if f.Hold != 0 {
		wire.Hold = f.Hold.String()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON refuses unknown fields and durations that cannot be read.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var fields faultFields
	wire := faultWire{faultFields: &fields}
	if err := decodeStrict(bytes.NewReader(data), &wire); err != nil {
		return err
	}
	var err error
	if fields.Delay, err = parseWait("delay", wire.Delay); err != nil {
		return err
	}
	if fields.Hold, err = parseWait("hold", wire.Hold); err != nil {
		return err
	}
	*f = Fault(fields)
	return nil
}

func parseWait(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s: want a duration such as \"250ms\" or \"3s\": %w", name, err)
	}
	return d, nil
}

// decodeStrict reads exactly one JSON value with no member that v lacks.
func decodeStrict(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the body is empty: want a JSON value")
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// normalise fills in what the zero values stand for.
func (f Fault) normalise() Fault {
	setDefault(&f.Call, CallAny)
	setDefault(&f.At, Before)
	setDefault(&f.Do, DoPass)
	if f.Do == DoRedirect {
		setDefault(&f.Status, http.StatusTemporaryRedirect)
	}
	return f
}

// executes reports whether the call is executed at all.
func (f *Fault) executes() bool {
	switch f.Do {
	case DoPass:
		return true
	case DoSlowBody, DoHeadersOnly, DoCut:
		return f.At == After || f.Status == 0
	}
	return f.At == After
}
