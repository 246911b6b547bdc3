package main

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mattn/go-shellwords"
	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/telemetry"
)

// variable is one of the environment.
type variable struct{ name, byDefault string }

func variables() []variable {
	var all []variable
	for _, f := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		if name := f.Tag.Get("env"); name != "" {
			all = append(all, variable{name, f.Tag.Get("envDefault")})
		}
	}
	return all
}

func readme(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatalf("read the README: %v", err)
	}
	return string(text)
}

func TestHelp_NamesEveryVariableAndItsDefault(t *testing.T) {
	t.Parallel()
	help := cli(t, nil, "worker", "--help").stdout + cli(t, nil, "monitor", "--help").stdout
	for _, v := range variables() {
		if !regexp.MustCompile(`\b` + v.name + `\b`).MatchString(help) {
			t.Errorf("neither worker --help nor monitor --help names %s", v.name)
		}
		if v.byDefault != "" && !regexp.MustCompile(`[(, ]`+regexp.QuoteMeta(v.byDefault)+`[;,) ]`).MatchString(help) {
			t.Errorf("neither worker --help nor monitor --help has the default of %s, %s", v.name, v.byDefault)
		}
	}
}

func TestReadme_TableHasEveryVariableAndItsDefault(t *testing.T) {
	t.Parallel()
	rows := map[string]string{} // the second cell, by the variables that the first one names
	names := regexp.MustCompile("`([A-Z][A-Z_]+)`")
	for line := range strings.Lines(readme(t)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || cells[0] != "" {
			continue
		}
		for _, name := range names.FindAllStringSubmatch(cells[1], -1) {
			rows[name[1]] = strings.TrimSpace(cells[2])
		}
	}
	for _, v := range variables() {
		got, ok := rows[v.name]
		switch {
		case !ok:
			t.Errorf("the table of the README has no row for %s", v.name)
		case v.byDefault != "" && got != "`"+v.byDefault+"`":
			t.Errorf("the README says that the default of %s is %s, want `%s`", v.name, got, v.byDefault)
		}
		delete(rows, v.name)
	}
	for name := range rows {
		// Those of OpenTelemetry are no settings of ours. What is checked is read.
		_, wrong := telemetry.CheckTracing(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector", name: "?"})
		if wrong[name] != "" {
			continue
		}
		t.Errorf("the README has a row for %s, which is no variable", name)
	}
}

func TestReadme_EveryCommandLineParses(t *testing.T) {
	t.Parallel()
	lines := commandLines(readme(t))
	if len(lines) < 8 {
		t.Fatalf("found %d command lines in the README, want at least the eight that show the commands", len(lines))
	}
	for _, line := range lines {
		if err := parses(line); err != nil {
			t.Errorf("the README shows %q, which is wrong: %v", line, err)
		}
	}
}

func TestHelp_EveryExampleParses(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example + "\n" + cmd.Long) {
			// Prose is not indented.
			if i := strings.Index(line, "cardworker "); i >= 0 && strings.HasPrefix(line, "  ") {
				shown, _, _ := strings.Cut(line[i:], "   ") // what follows is an explanation
				if err := parses(shown); err != nil {
					t.Errorf("the help of %s shows %q, which is wrong: %v", cmd.CommandPath(), shown, err)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRoot(program{})
	for _, sub := range root.Commands() {
		if sub.Name() != "completion" { // cobra's own texts
			walk(sub)
		}
	}
	for line := range strings.Lines(root.Long) {
		if shown, ok := strings.CutPrefix(line, "  cardworker "); ok {
			shown, _, _ = strings.Cut(shown, "   ")
			if err := parses("cardworker " + shown); err != nil {
				t.Errorf("the help shows %q, which is wrong: %v", shown, err)
			}
		}
	}
}

// commandLines returns what a text in Markdown shows as to be typed: lines of its blocks of code, and code
// within its sentences, that begin with the program's name.
func commandLines(markdown string) []string {
	var lines []string
	inBlock := false
	inline := regexp.MustCompile("`((?:bin/)?cardworker [^`]+)`")
	for line := range strings.Lines(markdown) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
			continue
		}
		if inBlock {
			line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "$ "), "bin/")
			if strings.HasPrefix(line, "cardworker ") {
				lines = append(lines, line)
			}
			continue
		}
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			lines = append(lines, strings.TrimPrefix(m[1], "bin/"))
		}
	}
	return lines
}

// parses returns what is wrong with a command line that begins with the program's name.
func parses(line string) error {
	// What follows belongs to the shell.
	for _, sep := range []string{" #", " |", " >", " &&", ";"} {
		line, _, _ = strings.Cut(line, sep)
	}
	words, err := shellwords.Parse(line)
	if err != nil {
		return err
	}
	cmd, rest, err := newRoot(program{}).Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
