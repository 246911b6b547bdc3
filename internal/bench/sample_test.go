package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile_IsAValueThatWasMeasured(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i) // in no order that would help
	}
	for _, tc := range []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, .5, 0},
		{[]time.Duration{7}, .5, 7},
		{[]time.Duration{7}, .99, 7},
		{[]time.Duration{2, 1}, .5, 1},
		{[]time.Duration{3, 1, 2}, .5, 2},
		{hundred, 0, 1},
		{hundred, .5, 50},
		{hundred, .9, 90},
		{hundred, .99, 99},
		{hundred, .991, 100},
		{hundred, 1, 100},
	} {
		if got := quantile(tc.values, tc.q); got != tc.want {
			t.Errorf("quantile of %d values at %v = %d, want %d", len(tc.values), tc.q, got, tc.want)
		}
	}
	if !slices.IsSortedFunc(hundred, func(a, b time.Duration) int { return int(b - a) }) {
		t.Error("quantile changed the order of its values")
	}
}

func TestMedian_OfAnEvenNumberLiesBetween(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median(%v) = %v, want %v", tc.values, got, tc.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want none", got)
	}
}

func TestRatios_ArePairedRunByRunWithTheBetterStock(t *testing.T) {
	t.Parallel()
	stock, wide, here := []float64{100, 300}, []float64{200, 100}, []float64{400, 600}
	if diff := cmp.Diff([]float64{2, 2}, ratios(here, best(stock, wide))); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{4, 2}, ratios(here, best(stock, nil))); diff != "" {
		t.Errorf("ratios with one stock alone (-want +got):\n%s", diff)
	}
}
