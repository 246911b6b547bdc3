package docstest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// document is a Markdown text taken apart, as far as the tests need it.
type document struct {
	headings []string
	links    []string
	blocks   []block
	tables   []table
}

// block is a fenced block of code. Info is what follows the fence.
type block struct {
	info string
	text string
	line int
}

// table is a table and the heading it stands under.
type table struct {
	heading string
	header  []string
	rows    [][]string
	line    int
}

var (
	headingLine = regexp.MustCompile(`^#{1,6} +(.+?) *$`)
	inlineLink  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	codeSpan    = regexp.MustCompile("`[^`]*`")
)

func parse(text string) document {
	var d document
	var fence *block
	inTable := false
	for n, line := range strings.Split(text, "\n") {
		if info, ok := strings.CutPrefix(line, "```"); ok {
			if fence == nil {
				fence = &block{info: info, line: n + 1}
			} else {
				d.blocks = append(d.blocks, *fence)
				fence = nil
			}
			inTable = false
			continue
		}
		if fence != nil {
			fence.text += line + "\n"
			continue
		}
		if m := headingLine.FindStringSubmatch(line); m != nil {
			d.headings = append(d.headings, m[1])
		}
		for _, m := range inlineLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			d.links = append(d.links, m[1])
		}
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		d.addRow(cells(line), inTable, n+1)
		inTable = true
	}
	return d
}

// addRow adds a row to the table that is being read, or begins one.
func (d *document) addRow(row []string, inTable bool, line int) {
	if !inTable {
		heading := ""
		if len(d.headings) > 0 {
			heading = d.headings[len(d.headings)-1]
		}
		d.tables = append(d.tables, table{heading: heading, header: row, line: line})
		return
	}
	if strings.Trim(strings.Join(row, ""), "-: ") == "" {
		return
	}
	last := &d.tables[len(d.tables)-1]
	last.rows = append(last.rows, row)
}

func cells(line string) []string {
	parts := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// under returns the tables under a heading; there must be at least one.
func (d document) under(t testing.TB, heading string) []table {
	t.Helper()
	var found []table
	for _, tab := range d.tables {
		if tab.heading == heading {
			found = append(found, tab)
		}
	}
	if len(found) == 0 {
		t.Fatalf("there is no table under %q", heading)
	}
	return found
}

// column returns the code spans of one column, in order; of each cell the first.
func (tab table) column(i int) []string {
	var out []string
	for _, row := range tab.rows {
		if i < len(row) {
			if span := codeSpan.FindString(row[i]); span != "" {
				out = append(out, strings.Trim(span, "`"))
			}
		}
	}
	return out
}

func TestParse_TakesADocumentApart(t *testing.T) {
	t.Parallel()
	got := parse("# A `b`\n[x](y.md#z) and `[no](link)`\n\n| `k` | v |\n|---|---|\n| `1` | 2 |\n\n```go x\n# no\n[no](link)\n```\n")
	want := document{
		headings: []string{"A `b`"},
		links:    []string{"y.md#z"},
		blocks:   []block{{"go x", "# no\n[no](link)\n", 8}},
		tables:   []table{{"A `b`", []string{"`k`", "v"}, [][]string{{"`1`", "2"}}, 4}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, block{}, table{})); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
}
