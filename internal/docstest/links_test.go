package docstest

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLinks_LeadSomewhere(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, name := range documents(t) {
		for _, link := range parse(read(t, name)).links {
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: the link %q is no URL: %v", name, link, err)
				continue
			}
			if u.Scheme != "" || u.Host != "" {
				continue // Another site is not ours to test.
			}
			checked++
			if why := broken(t, name, u); why != "" {
				t.Errorf("%s: the link %q %s", name, link, why)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links were found; are they read at all?", checked)
	}
}

// broken says what is wrong with a relative link of a document, "" if nothing.
func broken(t testing.TB, document string, u *url.URL) string {
	t.Helper()
	target := document
	if u.Path != "" {
		target = path.Join(path.Dir(document), u.Path)
	}
	if target == ".." || strings.HasPrefix(target, "../") {
		return "leads out of the repository"
	}
	if _, err := os.Stat(filepath.Join(root, target)); err != nil {
		return "leads to a file that does not exist"
	}
	if u.Fragment == "" {
		return ""
	}
	if path.Ext(target) != ".md" {
		return "has an anchor into a file without headings"
	}
	for _, h := range parse(read(t, target)).headings {
		if anchor(h) == u.Fragment {
			return ""
		}
	}
	return "names a heading that does not exist"
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchor returns the fragment that GitHub gives a heading. Of headings with the same text, only the first
// is reached by it.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func TestAnchor_IsGitHubs(t *testing.T) {
	t.Parallel()
	for heading, want := range map[string]string{
		"States":                  "states",
		"A plain asynq client":    "a-plain-asynq-client",
		"Redis: `keys`, and more": "redis-keys-and-more",
	} {
		if got := anchor(heading); got != want {
			t.Errorf("anchor(%q) = %q, want %q", heading, got, want)
		}
	}
}

func TestDocuments_HeadingsThatAreLinkedToAreUnique(t *testing.T) {
	t.Parallel()
	for _, name := range []string{architecture, contract} {
		anchors := []string{}
		for _, h := range parse(read(t, name)).headings {
			if slices.Contains(anchors, anchor(h)) {
				t.Errorf("%s has the heading %q twice; a link reaches the first only", name, h)
			}
			anchors = append(anchors, anchor(h))
		}
	}
}
