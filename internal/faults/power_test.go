package faults

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSizes_CutToWhatTheFileWas(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "appendonly.aof.1.incr.aof")
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &sizes{seen: []size{{at(0), file, 2}, {at(500), file, 4}, {at(1000), file, 8}}}
	s.cut(t, at(900))
	got, err := os.ReadFile(file)
	if err != nil || string(got) != "0123" {
		t.Errorf("the file is %q, %v, want 0123", got, err)
	}
}
