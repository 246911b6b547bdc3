// Package docstest holds the documents to the code: links lead somewhere, diagrams and tables say what the
// code says, samples decode, and the program in docs/CONTRACT.md runs as written.
package docstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil)
	redistest.Main(m)
}

// root is the root of the repository.
const root = "../.."

const (
	architecture = "docs/ARCHITECTURE.md"
	contract     = "docs/CONTRACT.md"
)

// read returns a file of the repository.
func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents returns the paths of all Markdown files of the repository.
func documents(t testing.TB) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "dist", "testdata", "vendor"}, d.Name())):
			return filepath.SkipDir
		case !d.IsDir() && filepath.Ext(path) == ".md":
			name, err := filepath.Rel(root, path)
			found = append(found, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{architecture, contract} {
		if !slices.Contains(found, want) {
			t.Fatalf("%s was not found among %v", want, found)
		}
	}
	return found
}
