package doorbell

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// taskMessage is asynq's message of a task as a chain has it.
func taskMessage(t testing.TB) string {
	t.Helper()
	m := messageType().New()
	fields := m.Descriptor().Fields()
	m.Set(fields.ByName("type"), protoreflect.ValueOfString("pin:unblock"))
	m.Set(fields.ByName("payload"), protoreflect.ValueOfBytes([]byte(`{"version":1,"operation_id":"cw04-01M87FCRHB0DKBBBB9KZAZBTMV","seq":1}`)))
	m.Set(fields.ByName("id"), protoreflect.ValueOfString("cw04-01M87FCRHB0DKBBBB9KZAZBTMV:1"))
	m.Set(fields.ByName("queue"), protoreflect.ValueOfString("unblock"))
	m.Set(fields.ByName("retry"), protoreflect.ValueOfInt32(12))
	m.Set(fields.ByName("timeout"), protoreflect.ValueOfInt64(600))
	b, err := proto.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func BenchmarkDecodes(b *testing.B) {
	message := taskMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		if !decodes(message) {
			b.Fatal("it cannot be decoded")
		}
	}
}
