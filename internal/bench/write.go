package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a report, below the directory that it is written into.
const (
	Document = "PERFORMANCE.md"
	Numbers  = "performance.json"
	Picture  = "images/performance.svg"
)

// emptyDocument is what a directory without a document gets.
const emptyDocument = `# Performance

<!-- bench about -->
<!-- end of about -->

<!-- bench targets -->
<!-- end of targets -->

![Drain rates and latencies](images/performance.svg)

<!-- bench figures -->
<!-- end of figures -->

<!-- bench sequence -->
<!-- end of sequence -->
`

// Write writes the raw numbers, the picture, and the parts of the document that lie between its markers; the
// text around them stays. A document that is missing is made.
func (r *Report) Write(dir string) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	document, err := os.ReadFile(filepath.Join(dir, Document))
	if errors.Is(err, fs.ErrNotExist) {
		document, err = []byte(emptyDocument), nil
	}
	if err != nil {
		return err
	}
	text, err := r.fill(string(document))
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, Document), err)
	}
	for name, content := range map[string]string{Numbers: string(raw) + "\n", Picture: r.picture(), Document: text} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil { //nolint:gosec // a document is for everybody
			return err
		}
	}
	return nil
}

// Read reads the raw numbers that Write has written into a directory.
func Read(dir string) (*Report, error) {
	raw, err := os.ReadFile(filepath.Join(dir, Numbers))
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("%s: %w", Numbers, err)
	}
	return r, nil
}

// fill puts what was measured between the markers of a document.
func (r *Report) fill(document string) (string, error) {
	for _, part := range []struct{ name, text string }{
		{"about", r.about()}, {"targets", r.targets()}, {"figures", r.figures()}, {"sequence", r.drawn()},
	} {
		begin, end := "<!-- bench "+part.name+" -->\n", "<!-- end of "+part.name+" -->\n"
		before, rest, found := strings.Cut(document, begin)
		_, after, found2 := strings.Cut(rest, end)
		if !found || !found2 {
			return "", fmt.Errorf("it has no place for the %s, between %q and %q", part.name, strings.TrimSpace(begin), strings.TrimSpace(end))
		}
		document = before + begin + part.text + end + after
	}
	return document, nil
}

// drawn draws the steps of one operation.
func (r *Report) drawn() string {
	if len(r.Steps) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("```mermaid\nsequenceDiagram\n    participant backend\n    participant Redis\n    participant worker\n    participant asynq as asynq in the worker\n    participant API\n")
	for _, s := range r.Steps {
		switch {
		case s.Role == roleAPI:
			fmt.Fprintf(&b, "    worker->>API: %s\n", s.Does)
		case strings.HasPrefix(s.Role, "asynq"):
			fmt.Fprintf(&b, "    asynq->>Redis: %s\n", s.Does)
		default:
			fmt.Fprintf(&b, "    %s->>Redis: %s\n", s.Role, s.Does)
		}
	}
	b.WriteString("```\n")
	return b.String()
}
