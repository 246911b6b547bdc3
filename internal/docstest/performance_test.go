package docstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/bench"
)

// TestPerformance_TablesAreWhatWasMeasured compares, and with UPDATE_DOCS=1 writes, what follows from the raw
// numbers.
func TestPerformance_TablesAreWhatWasMeasured(t *testing.T) {
	t.Parallel()
	docs := filepath.Join(root, "docs")
	report, err := bench.Read(docs)
	if err != nil {
		t.Fatalf("the numbers of the last make bench: %v", err)
	}
	dir := docs
	if os.Getenv("UPDATE_DOCS") == "" {
		dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, bench.Document), []byte(read(t, "docs/"+bench.Document)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := report.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{bench.Document, bench.Picture} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), read(t, "docs/"+name)); diff != "" {
			t.Errorf("docs/%s is not what performance.json says; run make docs, or make bench to measure again (-numbers +document):\n%s", name, diff)
		}
	}
}
