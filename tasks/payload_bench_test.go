package tasks

import "testing"

func BenchmarkPayload_Encode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ByReference(sampleID, 2).Encode()
	}
}

func BenchmarkPayload_Decode(b *testing.B) {
	for _, form := range []struct {
		name    string
		typ     Type
		payload Payload
	}{{"reference", TypeConfirmPIN, ByReference(sampleID, 2)}, {"self contained", TypeUnblockPIN, fullPayload()}} {
		b.Run(form.name, func(b *testing.B) {
			encoded := form.payload.Encode()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodePayload(form.typ, encoded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
