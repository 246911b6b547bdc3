// Package archtest holds the structure of the module: which package may depend on which, and what
// may not show in an exported signature.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/cardworker/cardworker"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Deps       []string // everything it needs, directly or not, tests aside
	Export     string   // the file with its compiled types
}

// dependsOn tells whether p needs the package path, or one below it, tests aside. What is below p
// itself is p's own.
func (p pkg) dependsOn(path string) bool {
	for _, dep := range p.Deps {
		if strings.HasPrefix(dep, p.ImportPath+"/") {
			continue
		}
		if dep == path || strings.HasPrefix(dep, path+"/") {
			return true
		}
	}
	return false
}

// list runs go list in the root of the module.
func list(t testing.TB, args ...string) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Deps,Export"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	packages := make(map[string]pkg)
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("the output of go list: %v", err)
		}
		packages[p.ImportPath] = p
	}
}

// isStandard tells a package of the standard library by its path, as the go command does: the first
// element of any other has a dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
