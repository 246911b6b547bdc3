package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fullPayload is a self-contained payload with every field.
func fullPayload() Payload {
	return Payload{
		Version: 1, PublicToken: "103169946", IdempotencyKey: "tap-7f3a",
		Reason: "Cardholder verified in app", UpdatedBy: "app-backend",
		ExpiresAt: ptr(at("2026-11-22T10:05:00Z")),
	}
}

// wire holds a payload of every form in which a task of every type may come.
func wire() map[Type]map[string]Payload {
	forms := map[Type]map[string]Payload{}
	for _, typ := range Types() {
		forms[typ] = map[string]Payload{"reference": ByReference(sampleID, 1)}
		if typ.Confirms() {
			forms[typ]["reference"] = ByReference(sampleID, 2)
			continue
		}
		forms[typ]["self_contained"] = Payload{Version: 1, PublicToken: "103169946"}
		forms[typ]["self_contained_full"] = fullPayload()
	}
	return forms
}

func goldenName(typ Type, form string) string {
	return strings.ReplaceAll(string(typ), ":", "_") + "." + form + ".golden.json"
}

func TestPayload_WireForms(t *testing.T) {
	t.Parallel()
	for typ, forms := range wire() {
		for form, p := range forms {
			t.Run(goldenName(typ, form), func(t *testing.T) {
				t.Parallel()
				golden(t, goldenName(typ, form), indented(t, p.Encode()))
				want := p
				if want.Seq == 0 {
					want.Seq = 1
				}
				got, err := DecodePayload(typ, p.Encode())
				if err != nil {
					t.Fatalf("DecodePayload(%s, its own encoding) = %v", typ, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("payload after a round trip (-want +got):\n%s", diff)
				}
				if got.SelfContained() != (p.OperationID == "") {
					t.Errorf("SelfContained() = %v", got.SelfContained())
				}
			})
		}
	}
}

func TestPayload_ReferenceHoldsNoToken(t *testing.T) {
	t.Parallel()
	var fields map[string]any
	if err := json.Unmarshal(ByReference(sampleID, 3).Encode(), &fields); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"version": 1.0, "operation_id": sampleID, "seq": 3.0}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("payload by reference (-want +got):\n%s", diff)
	}
}

func TestDecodePayload_ToleratesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   string
		want Payload
	}{
		"unknown fields":     {`{"version":1,"operation_id":"` + sampleID + `","seq":4,"colour":{"a":[1]},"x":null}`, ByReference(sampleID, 4)},
		"no version":         {`{"operation_id":"` + sampleID + `"}`, ByReference(sampleID, 1)},
		"null version":       {`{"version":null,"public_token":"946"}`, Payload{Version: 1, Seq: 1, PublicToken: "946"}},
		"no seq":             {`{"version":1,"operation_id":"` + sampleID + `"}`, ByReference(sampleID, 1)},
		"white space":        {"\n { \"public_token\" : \"946\" } \n", Payload{Version: 1, Seq: 1, PublicToken: "946"}},
		"expiry with offset": {`{"public_token":"946","expires_at":"2026-11-22T12:05:00+02:00"}`, Payload{Version: 1, Seq: 1, PublicToken: "946", ExpiresAt: ptr(at("2026-11-22T10:05:00Z"))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := DecodePayload(TypeUnblockPIN, []byte(tc.in))
			if err != nil {
				t.Fatalf("DecodePayload(%s) = %v", tc.in, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" { // go-cmp compares times with Equal.
				t.Errorf("DecodePayload(%s) (-want +got):\n%s", tc.in, diff)
			}
		})
	}
}

func TestDecodePayload_NewerVersionIsWorthAnotherTry(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"version":2}`,
		`{"version":2,"operation_id":{"shard":5,"ulid":"x"},"seq":"four"}`,
		`{"version":3,"public_token":["sealed"],"expires_at":17}`,
		`{"operation_id":"not an id","version":1000000}`,
	} {
		p, err := DecodePayload(TypeConfirmCVV, []byte(in))
		if !errors.Is(err, ErrNewerVersion) || errors.Is(err, ErrMalformed) {
			t.Errorf("DecodePayload(%s) = %v, want ErrNewerVersion alone", in, err)
		}
		if p != (Payload{}) {
			t.Errorf("DecodePayload(%s) returns a payload with its error", in)
		}
	}
}

func TestDecodePayload_MalformedSaysWhichFieldAndNoValue(t *testing.T) {
	t.Parallel()
	const pan = "4111111111111111"
	long := strings.Repeat("s", MaxReason+1)
	for name, tc := range map[string]struct {
		typ      Type
		in       string
		mentions string
	}{
		"empty":                    {TypeUnblockPIN, ``, "not JSON"},
		"not JSON":                 {TypeUnblockPIN, pan + `x`, "not JSON"},
		"cut in half":              {TypeUnblockPIN, `{"public_token":"` + pan, "not JSON"},
		"trailing data":            {TypeUnblockPIN, `{"public_token":"946"} ` + pan, "not JSON"},
		"an array":                 {TypeUnblockPIN, `["` + pan + `"]`, "not a JSON object"},
		"a string":                 {TypeUnblockPIN, `"` + pan + `"`, "not a JSON object"},
		"null":                     {TypeUnblockPIN, `null`, "neither operation_id nor public_token"},
		"nothing in it":            {TypeUnblockPIN, `{}`, "neither operation_id nor public_token"},
		"version of a wrong type":  {TypeUnblockPIN, `{"version":"` + pan + `"}`, "field version"},
		"version zero":             {TypeUnblockPIN, `{"version":0,"public_token":"946"}`, "version"},
		"version negative":         {TypeUnblockPIN, `{"version":-1,"public_token":"946"}`, "version"},
		"id of a wrong type":       {TypeUnblockPIN, `{"operation_id":` + pan + `}`, "field operation_id"},
		"id of a wrong form":       {TypeUnblockPIN, `{"operation_id":"cw05-` + pan + `"}`, "operation_id"},
		"id of a shard too high":   {TypeUnblockPIN, `{"operation_id":"cw16-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"}`, "operation_id"},
		"seq negative":             {TypeUnblockPIN, `{"operation_id":"` + sampleID + `","seq":-1}`, "seq"},
		"seq of a wrong type":      {TypeUnblockPIN, `{"operation_id":"` + sampleID + `","seq":"` + pan + `"}`, "field seq"},
		"both forms":               {TypeUnblockPIN, `{"operation_id":"` + sampleID + `","public_token":"946"}`, "both"},
		"card number":              {TypeUnblockPIN, `{"public_token":"` + pan + `"}`, "card number"},
		"token of a wrong type":    {TypeUnblockPIN, `{"public_token":` + pan + `}`, "field public_token"},
		"token too long":           {TypeUnblockPIN, `{"public_token":"1031699467"}`, "public_token"},
		"key too long":             {TypeUnblockPIN, `{"public_token":"946","idempotency_key":"` + strings.Repeat("s", 256) + `"}`, "idempotency key"},
		"key not printable":        {TypeUnblockPIN, `{"public_token":"946","idempotency_key":"a\u0007b"}`, "idempotency key"},
		"reason too long":          {TypeUnblockPIN, `{"public_token":"946","reason":"` + long + `"}`, "reason"},
		"updated_by too long":      {TypeUnblockPIN, `{"public_token":"946","updated_by":"` + long + `"}`, "updated-by"},
		"expiry of a wrong type":   {TypeUnblockPIN, `{"public_token":"946","expires_at":` + pan + `}`, "expires_at"},
		"expiry not a time":        {TypeUnblockPIN, `{"public_token":"946","expires_at":"` + pan + `"}`, "expires_at"},
		"confirmation by itself":   {TypeConfirmPIN, `{"public_token":"946"}`, "confirmation"},
		"larger than any payload":  {TypeUnblockPIN, `{"public_token":"946","x":"` + strings.Repeat("s", MaxPayload) + `"}`, "bytes"},
		"an unknown field's error": {TypeUnblockPIN, `{"public_token":{"` + pan + `":1}}`, "field public_token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := DecodePayload(tc.typ, []byte(tc.in))
			if !errors.Is(err, ErrMalformed) || errors.Is(err, ErrNewerVersion) {
				t.Fatalf("DecodePayload = %v, want ErrMalformed alone", err)
			}
			if !strings.Contains(err.Error(), tc.mentions) {
				t.Errorf("DecodePayload = %q, want it to mention %q", err, tc.mentions)
			}
			for _, secret := range []string{pan, "1031699467", strings.Repeat("s", 20)} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("DecodePayload = %q, which repeats a value", err)
				}
			}
			if p != (Payload{}) {
				t.Errorf("DecodePayload returns a payload with its error")
			}
		})
	}
}

func TestFindOperationID(t *testing.T) {
	t.Parallel()
	const other = "cw00-01KAJ4S7Q0Z5M2E8H6N3T9RXVC"
	for name, tc := range map[string]struct{ in, want string }{
		"nothing":                 {"", ""},
		"no id":                   {`{"operation_id":"cw05-01KAJ"}`, ""},
		"in broken JSON":          {`{"operation_id":"` + sampleID + `","seq":`, sampleID},
		"in binary":               {"\x00\xff" + sampleID + "\xfe", sampleID},
		"twice the same":          {sampleID + " " + sampleID, sampleID},
		"two of them":             {sampleID + " " + other, ""},
		"a third that is another": {sampleID + " " + sampleID + " " + other, ""},
		"lower case":              {strings.ToLower(sampleID), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := FindOperationID([]byte(tc.in)); got != tc.want {
				t.Errorf("FindOperationID(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

func TestPayload_EncodePanicsOnlyOnAnImpossibleTime(t *testing.T) {
	t.Parallel()
	p := Payload{Version: 1, PublicToken: "946", ExpiresAt: ptr(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))}
	defer func() {
		if r := recover(); r == nil || strings.Contains(fmt.Sprint(r), "946") {
			t.Errorf("Encode with the year 10000 panics with %v, want a panic without values", r)
		}
	}()
	p.Encode()
}
