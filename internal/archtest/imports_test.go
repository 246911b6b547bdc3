package archtest

import (
	"strings"
	"testing"
)

// TestPackages_DependOneWay: cmd → {worker, enqueue, monitor, sandbox} → operation store → tasks, and
// worker → payblr.
func TestPackages_DependOneWay(t *testing.T) {
	t.Parallel()
	packages := list(t, "./...")
	for _, path := range []string{"tasks", "payblr", "enqueue", "worker", "internal/opstore", "internal/monitor", "internal/sandbox", "cmd/cardworker"} {
		if _, ok := packages[module+"/"+path]; !ok {
			t.Errorf("there is no package %s, and a rule about it would hold of nothing", path)
		}
	}

	for _, rule := range []struct {
		from string
		to   []string
		why  string
	}{
		{"payblr", []string{""}, "the API client can be used without the rest"},
		{"tasks", []string{""}, "the contract needs nothing of what fulfils it"},
		{"enqueue", []string{"worker", "payblr", "internal/monitor", "internal/sandbox"}, "a producer knows no worker and no API"},
		{"worker", []string{"enqueue", "internal/monitor", "internal/sandbox"}, "a worker meets producers in Redis only"},
		{"internal/opstore", []string{"enqueue", "worker", "payblr", "internal/monitor", "internal/sandbox"}, "the store is below all that use it"},
		{"internal/monitor", []string{"enqueue", "worker", "payblr", "internal/sandbox"}, "the monitor only looks at Redis"},
		{"internal/sandbox", []string{"enqueue", "worker", "payblr", "internal/opstore", "internal/monitor"}, "an API that shares code with its client agrees with its mistakes"},
	} {
		from := packages[module+"/"+rule.from]
		for _, to := range rule.to {
			if from.dependsOn(strings.TrimSuffix(module+"/"+to, "/")) {
				t.Errorf("%s depends on %s/%s, directly or not: %s", rule.from, module, to, rule.why)
			}
		}
	}
	for path, p := range packages {
		if p.dependsOn(module + "/cmd") {
			t.Errorf("%s depends on a command", path)
		}
	}
	for _, helpers := range []string{"internal/redistest", "internal/otlptest"} {
		if packages[module+"/cmd/cardworker"].dependsOn(module + "/" + helpers) {
			t.Errorf("the binary holds the test helpers of %s", helpers)
		}
	}
}

func TestTasks_NeedsOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "./tasks/...") {
		for _, dep := range p.Deps {
			if !isStandard(dep) && !strings.HasPrefix(dep, module+"/tasks") {
				t.Errorf("%s depends on %s", path, dep)
			}
		}
	}
}

// TestLibraries_LeaveTheExportOfTracesToTheirUser: they speak to whatever tracer provider the process has.
func TestLibraries_LeaveTheExportOfTracesToTheirUser(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "./payblr", "./enqueue", "./worker") {
		for _, sdk := range []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters"} {
			if p.dependsOn(sdk) {
				t.Errorf("%s depends on %s, directly or not", path, sdk)
			}
		}
	}
}

func TestLibraries_LeaveLoggingToTheirUser(t *testing.T) {
	t.Parallel()
	for path, p := range list(t, "./tasks", "./payblr", "./enqueue") {
		if p.dependsOn("github.com/sirupsen/logrus") {
			t.Errorf("%s depends on logrus, directly or not", path)
		}
	}
}
