package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleReport has a figure or two of everything.
func sampleReport() *Report {
	r := &Report{Runs: 3, Took: 61, Steps: []Step{{"backend", "accept"}, {"asynq-urgent", "asynq dequeue"}, {roleAPI, "POST unblock"}}}
	for _, v := range []float64{1000, 1500, 2000} {
		for _, at := range []string{near, far} {
			r.add("drain", at, nameStock, "chains/s", v/5)
			r.add("drain", at, nameWide, "chains/s", v/4)
			r.add("drain", at, nameOurs, "chains/s", v)
		}
		for _, q := range quantiles {
			r.add("latency", oneAtATime, nameOurs, q.name, 2)
			r.add("urgency", "nothing else to do", nameOurs, q.name, 10)
			r.add("urgency", "100000 refreshes waiting", nameOurs, q.name, 25)
		}
	}
	return r
}

func TestTargets_SayWhetherTheyAreMet(t *testing.T) {
	t.Parallel()
	lines := strings.Split(sampleReport().targets(), "\n")[2:]
	for i, want := range []string{"met |", "met |", "not measured |", "met: 5.00 × (4.00 × with 256 places) |", "**not met**: 5.00 × (4.00 × with 256 places) |", "**not met** |"} {
		if !strings.HasSuffix(lines[i], "| "+want) {
			t.Errorf("target %d: %s, want it to end in %q", i+1, lines[i], want)
		}
	}
}

func TestWrite_KeepsTheTextAroundWhatItWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, Document)
	if err := os.WriteFile(name, []byte(strings.Replace(emptyDocument, "\n<!-- bench fig", "\nMy own words.\n\n<!-- bench fig", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := sampleReport()
	var first string
	for range 2 { // The second time it replaces what it wrote.
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"My own words.", "1,500 (1,000–2,000)", "backend->>Redis: accept", "worker->>API: POST unblock", "**not met**"} {
			if strings.Count(string(text), want) == 0 {
				t.Errorf("the document has no %q:\n%s", want, text)
			}
		}
		if first != "" && first != string(text) {
			t.Errorf("written twice it differs:\n%s", cmp.Diff(first, string(text)))
		}
		first = string(text)
	}
	again, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("read back (-written +read):\n%s", diff)
	}
}

func TestWrite_ADocumentWithoutAPlaceForTheTablesIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Document), []byte("# Mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := sampleReport().Write(dir)
	if err == nil || !strings.Contains(err.Error(), "no place for the about") {
		t.Errorf("Write = %v, want an error that names what has no place", err)
	}
	if _, err := os.Stat(filepath.Join(dir, Numbers)); err == nil {
		t.Error("it wrote the numbers all the same")
	}
}

func TestPicture_IsWellFormed(t *testing.T) {
	t.Parallel()
	d := xml.NewDecoder(strings.NewReader(sampleReport().picture()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNumber_HasTheDigitsThatMeanSomething(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0.123: "0.12", 5: "5.00", 23.46: "23.5", 123.4: "123", 999.6: "1,000", 1234: "1,234", 123456: "123,456"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}
