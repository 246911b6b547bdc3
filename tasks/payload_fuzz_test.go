package tasks

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzDecodePayload(f *testing.F) {
	for typ, forms := range wire() {
		for _, p := range forms {
			f.Add(string(typ), p.Encode())
		}
	}
	f.Add("pin:unblock", []byte(`{"version":2,"operation_id":[]}`))
	f.Add("pin:confirm", []byte(`{"public_token":"4111 1111 1111 1111"}`))
	f.Add("", []byte(`null`))
	f.Fuzz(func(t *testing.T, typ string, b []byte) {
		p, err := DecodePayload(Type(typ), b)
		if err != nil {
			if errors.Is(err, ErrMalformed) == errors.Is(err, ErrNewerVersion) {
				t.Fatalf("DecodePayload = %v, want exactly one of the two errors", err)
			}
			return
		}
		if p.Version != PayloadVersion || p.Seq < 1 {
			t.Fatalf("DecodePayload gives version %d and seq %d", p.Version, p.Seq)
		}
		switch {
		case p.SelfContained():
			if _, err := ParsePublicToken(p.PublicToken); err != nil {
				t.Fatalf("DecodePayload lets a bad token through: %v", err)
			}
			if Type(typ).Confirms() {
				t.Fatal("DecodePayload lets a confirmation without an operation through")
			}
		case !ValidID(p.OperationID):
			t.Fatal("DecodePayload lets a bad operation id through")
		}
		again, err := DecodePayload(Type(typ), p.Encode())
		if err != nil {
			t.Fatalf("decode what was encoded again: %v", err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("a second round trip changes the payload:\n%s", diff)
		}
	})
}

func FuzzFindOperationID(f *testing.F) {
	f.Add([]byte(sampleID))
	f.Add([]byte(`{"operation_id":"` + sampleID + `","other":"cw00-01KAJ4S7Q0Z5M2E8H6N3T9RXVC"}`))
	f.Add([]byte("cw05-"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id := FindOperationID(b)
		if id != "" && (!ValidID(id) || !strings.Contains(string(b), id)) {
			t.Fatalf("FindOperationID(%q) = %q, which is not a valid id out of it", b, id)
		}
		// Between texts that end no id and begin none, a single id is found again.
		if got := FindOperationID([]byte("<" + sampleID + ">")); got != sampleID {
			t.Fatalf("FindOperationID = %q, want %q", got, sampleID)
		}
	})
}
