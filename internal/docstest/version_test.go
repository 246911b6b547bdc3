package docstest

import (
	"regexp"
	"strings"
	"testing"
)

func TestReadme_NamesTheGoVersionAndTheModule(t *testing.T) {
	t.Parallel()
	mod, readme := read(t, "go.mod"), read(t, "README.md")
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(mod)
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(mod)
	if version == nil || module == nil {
		t.Fatal("go.mod names no version or no module")
	}
	for _, want := range []string{"Go " + version[1] + " or newer", "go get " + module[1], module[1] + "/enqueue`"} {
		if !strings.Contains(readme, want) {
			t.Errorf("the README does not say %q", want)
		}
	}
}
