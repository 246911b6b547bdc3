package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PayloadVersion is the version of the payloads that this release writes. It reads this version and
// older ones.
const PayloadVersion = 1

// MaxPayload is the size of the largest payload that is decoded, in bytes.
const MaxPayload = 16 << 10

// What can be wrong with a payload.
var (
	// ErrMalformed: no release will ever understand the payload. It is not worth another try.
	ErrMalformed = errors.New("malformed payload")
	// ErrNewerVersion: a newer release wrote the payload. It is worth trying again, since during a
	// rolling deploy a newer worker may take it.
	ErrNewerVersion = errors.New("payload of a newer version")
)

// Payload is what a task carries, in one of two forms. By reference, as package enqueue writes it, it
// names an operation that is already recorded and holds nothing confidential. Self-contained, as a
// plain asynq client may write it, it names the card; the worker then creates the record when it begins.
//
// Unknown JSON fields are ignored, and a missing version means 1.
type Payload struct {
	// Version is the version of the form, at least 1.
	Version int `json:"version"`

	// OperationID names the operation (by reference).
	OperationID string `json:"operation_id,omitempty"`
	// Seq numbers the tasks of one operation from 1. A task whose number is no longer the operation's
	// has been superseded and does nothing. Zero means 1.
	Seq int64 `json:"seq,omitempty"`

	// PublicToken is the card's token in full (self-contained).
	PublicToken string `json:"public_token,omitempty"`
	// IdempotencyKey makes the operation the one that belongs to this key. Optional.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Reason and UpdatedBy go to the API with an unblock. Optional.
	Reason    string `json:"reason,omitempty"`
	UpdatedBy string `json:"updated_by,omitempty"`
	// ExpiresAt is the time after which the API must not be called. Without it the default lifetime of
	// the kind begins when the worker does. More than [MaxExpiry] from then is malformed.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Format writes what of the payload may be seen, whatever the verb. Its JSON has everything.
func (p Payload) Format(f fmt.State, _ rune) {
	card, _ := ParsePublicToken(p.PublicToken) // The zero token of a malformed one prints as nothing.
	_, _ = fmt.Fprintf(f, "{version %d, operation %s, seq %d, card %s}", p.Version, p.OperationID, p.Seq, card)
}

// ByReference returns the payload of the seq-th task of an operation.
func ByReference(operationID string, seq int64) Payload {
	return Payload{Version: PayloadVersion, OperationID: operationID, Seq: seq}
}

// SelfContained reports whether the payload names the card itself.
func (p Payload) SelfContained() bool { return p.OperationID == "" }

// Encode returns the payload's JSON.
func (p Payload) Encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		// Strings, integers and a time: the time alone can fail, outside of the years 0 to 9999.
		panic(fmt.Sprintf("tasks: encode payload: %v", err))
	}
	return b
}

// DecodePayload reads the payload of a task of type t. Its error wraps [ErrMalformed] or
// [ErrNewerVersion], says which field is wrong and never repeats a value.
func DecodePayload(t Type, b []byte) (Payload, error) {
	if len(b) > MaxPayload {
		return Payload{}, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrMalformed, len(b), MaxPayload)
	}
	var p Payload
	err := json.Unmarshal(b, &p)
	if err != nil || p.Version < 1 || p.Version > PayloadVersion {
		// A newer form may well have other fields, or the same ones in another shape, so the version is what
		// counts.
		var v struct {
			Version *int `json:"version"`
		}
		switch verr := json.Unmarshal(b, &v); {
		case verr != nil:
			return Payload{}, fmt.Errorf("%w: %s", ErrMalformed, jsonProblem(verr))
		case v.Version != nil && *v.Version > PayloadVersion:
			return Payload{}, fmt.Errorf("%w: %d, this worker reads up to %d", ErrNewerVersion, *v.Version, PayloadVersion)
		case err != nil:
			return Payload{}, fmt.Errorf("%w: %s", ErrMalformed, jsonProblem(err))
		case v.Version == nil:
			p.Version = 1
		}
	}
	if p.Seq == 0 {
		p.Seq = 1
	}
	if err := p.check(t); err != nil {
		return Payload{}, err
	}
	return p, nil
}

func (p Payload) check(t Type) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }
	switch {
	case p.Version < 1:
		return bad("version is below 1")
	case p.Seq < 1:
		return bad("seq is below 1")
	case p.OperationID != "" && p.PublicToken != "":
		return bad("it has both operation_id and public_token")
	case p.OperationID != "" && !ValidID(p.OperationID):
		return bad("operation_id is not an operation id")
	case p.OperationID != "":
		return nil
	case p.PublicToken == "":
		return bad("it has neither operation_id nor public_token")
	case t.Confirms():
		return bad("a confirmation follows an unblock and cannot be enqueued by itself")
	}
	if _, err := ParsePublicToken(p.PublicToken); err != nil {
		return bad("public_token: " + err.Error())
	}
	if p.IdempotencyKey != "" {
		if err := CheckIdempotencyKey(p.IdempotencyKey); err != nil {
			return bad(err.Error())
		}
	}
	if err := errors.Join(CheckReason(p.Reason), CheckUpdatedBy(p.UpdatedBy)); err != nil {
		return bad(err.Error())
	}
	return nil
}

// FindOperationID looks for an operation id anywhere in a payload that could not be decoded, so that
// its operation can still be told. It returns "" when there is none, or when there is more than one.
func FindOperationID(b []byte) string {
	found := anyID.FindAll(b, -1)
	if len(found) == 0 {
		return ""
	}
	for _, other := range found[1:] {
		if !bytes.Equal(found[0], other) {
			return ""
		}
	}
	return string(found[0])
}

// jsonProblem describes a decoding error without the text that caused it.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ) && typ.Field != "":
		return fmt.Sprintf("field %s has the wrong type", safeField(typ.Field))
	case errors.As(err, &typ):
		return "it is not a JSON object"
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON (at byte %d)", syntax.Offset)
	default:
		// The one field that reads itself, and whose problem is therefore of another type.
		return "field expires_at is not a time as RFC 3339 writes it"
	}
}

// safeField lets through the names of our own fields only: any other name was written by a stranger.
func safeField(name string) string {
	switch name {
	case "version", "operation_id", "seq", "public_token", "idempotency_key", "reason", "updated_by", "expires_at":
		return name
	default:
		return "(unknown)"
	}
}
