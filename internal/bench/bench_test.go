package bench

import (
	"math"
	"strings"
	"testing"
)

func TestRun_DrainComparesAllThreeNearAndFar(t *testing.T) {
	t.Parallel()
	r := tinyRun(t, "drain")
	for _, at := range []string{near, far} {
		for _, name := range []string{nameStock, nameWide, nameOurs} {
			for _, figure := range []string{"accepted/s", "chains/s", "round trips"} {
				v := r.values("drain", at, name, figure)
				if len(v) != 1 || v[0] <= 0 {
					t.Errorf("%s, %s: %s = %v, want one figure", at, name, figure, v)
				}
			}
		}
	}
	if rtt := median(r.values("ping", far, "", "ms")); rtt < 1 {
		t.Errorf("the distant Redis answers in %v ms, want at least 1", rtt)
	}
	if v := drainRatio(far, nameWide)(r); math.IsNaN(v) {
		t.Error("there is no ratio of the drain rates")
	}
}

func TestRun_OverHTTPDrainsAndChecks(t *testing.T) {
	t.Parallel()
	r := tinyRun(t, "http")
	if v := r.values("http", near, nameOurs, "chains/s"); len(v) != 1 {
		t.Errorf("chains/s = %v, want one figure", v)
	}
}

func TestRun_UrgencyComparesWithAnIdleSystem(t *testing.T) {
	t.Parallel()
	r := tinyRun(t, "urgency")
	v := urgencyRatios(r, nameOurs)
	if len(v) != 1 {
		t.Fatalf("ratios of p99 = %v, want one", v)
	}
	for _, at := range r.settings("urgency") {
		for _, name := range []string{nameWide, nameOurs} {
			if p50 := median(r.values("urgency", at, name, "p50")); !(p50 >= 40) {
				t.Errorf("%s, %s: p50 = %v ms, want at least the 40 of the API", at, name, p50)
			}
		}
	}
}

func TestRun_ANameThatIsNoMeasureIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Config{Only: []string{"speed"}})
	if err == nil || !strings.Contains(err.Error(), "drain") {
		t.Errorf("Run = %v, want an error that lists the measures", err)
	}
}

func TestRun_WithoutRedisSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.Context(), Config{})
	if err == nil || !strings.Contains(err.Error(), "redis-server is not installed; install") {
		t.Errorf("Run without a redis-server = %v, want a sentence that says what to install", err)
	}
}

func TestStub_CheckSeesACallTooManyAndOneTooFew(t *testing.T) {
	t.Parallel()
	s := newStub(0)
	for _, c := range cards(false, 0, 2) {
		if err := s.call(t.Context(), c.token(), false); err != nil {
			t.Fatal(err)
		}
		if err := s.call(t.Context(), c.token(), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.check(2, 0); err != nil {
		t.Errorf("check of what was done once: %v", err)
	}
	for _, wrong := range []struct{ unblocked, refreshed int }{{1, 0}, {3, 0}, {2, 1}} {
		if s.check(wrong.unblocked, wrong.refreshed) == nil {
			t.Errorf("check(%d, %d) finds nothing wrong", wrong.unblocked, wrong.refreshed)
		}
	}
	if err := s.call(t.Context(), card{n: 1}.token(), true); err != nil {
		t.Fatal(err)
	}
	if s.check(2, 0) == nil {
		t.Error("check does not see that a status was read twice")
	}
}
