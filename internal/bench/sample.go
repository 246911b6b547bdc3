package bench

import (
	"math"
	"slices"
	"time"
)

// quantile is the smallest of the values that a share q of them does not exceed. No values have none.
func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle of the values, or the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// spread is the median of some values with their smallest and largest.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	return spread{median(values), slices.Min(values), slices.Max(values)}
}

// ratios divides ours by theirs, run by run.
func ratios(ours, theirs []float64) []float64 {
	var out []float64
	for i := range min(len(ours), len(theirs)) {
		out = append(out, ours[i]/theirs[i])
	}
	return out
}

// best returns, run by run, the better of two, where more is better.
func best(a, b []float64) []float64 {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	var out []float64
	for i := range min(len(a), len(b)) {
		out = append(out, max(a[i], b[i]))
	}
	return out
}
