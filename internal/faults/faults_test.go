package faults

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

const (
	// seedEnv repeats a run.
	seedEnv = "FAULT_SEED"
	// suiteEnv says what runs: "full" is every scenario, a name is that one, nothing is the short form.
	suiteEnv = "FAULTS"
)

// short is what runs with every test of the module: a few seconds each.
var short = []string{"kill_workers_short", "crash_points_short", "cut_replies_short"}

// proxyLeak is where toxiproxy 2.12 leaves a goroutine when a fault is put on a connection in the instant in which
// the connection ends.
const proxyLeak = "github.com/Shopify/toxiproxy/v2/toxics.(*NoopToxic).Pipe"

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // Every failure it reports is returned as an error too.
	code := m.Run()
	RemoveBinaries()
	if code == 0 {
		if err := redistest.Leaked(redistest.LeakPatience, goleak.IgnoreTopFunction(proxyLeak)); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// selected returns the names of the scenarios that run.
func selected(t testing.TB) []string {
	t.Helper()
	switch want := os.Getenv(suiteEnv); want {
	case "":
		return short
	case "full":
		files, err := filepath.Glob("testdata/*.txt")
		if err != nil || len(files) == 0 {
			t.Fatalf("there are no scenarios: %v", err)
		}
		var names []string
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".txt"))
		}
		return names
	default:
		return strings.Split(want, ",")
	}
}

func scenario(t testing.TB, name string) *Scenario {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seed(t testing.TB) uint64 {
	t.Helper()
	text := cmp.Or(os.Getenv(seedEnv), strconv.FormatInt(time.Now().UnixNano(), 10))
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedEnv, err)
	}
	return n
}

// It is not parallel, and neither are the scenarios: each takes every processor there is, and is about time.
func TestFaults(t *testing.T) {
	seed := seed(t)
	var all []Figures
	for _, name := range selected(t) {
		t.Run(name, func(t *testing.T) {
			all = append(all, scenario(t, name).Run(t, seed))
		})
	}
	var sum Figures
	for _, f := range all {
		sum.Kills += f.Kills
		sum.Operations += f.Operations
		sum.Lost += f.Lost
		sum.Recoveries = append(sum.Recoveries, f.Recoveries...)
		sum.Resumptions = append(sum.Resumptions, f.Resumptions...)
	}
	t.Logf("in all: %d operations, %d lost, %d kills, recovery %s, resumption %s",
		sum.Operations, sum.Lost, sum.Kills, QuantilesOf(sum.Recoveries), QuantilesOf(sum.Resumptions))
	if want := 50; os.Getenv(suiteEnv) == "full" && sum.Kills < want {
		t.Errorf("%d workers were killed in all, want at least %d", sum.Kills, want)
	}
	if q := QuantilesOf(sum.Recoveries); q.N > 0 && q.P99 > 5*time.Second {
		t.Errorf("recovery %s, want p99 <= 5s", q)
	}
}
