package faults

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cardworker/cardworker/internal/failpoint"
)

// form is a sentence of the language: words, with places for what varies.
type form[F any] struct {
	// words holds the literal words and the places <worker>, <duration>, <count>, <percent> and
	// <point>.
	words string
	// network: it needs the proxy in front of Redis.
	network bool
	// asks: <count> operations or tasks are asked for.
	asks bool
	// untraced: what it measures is without traces.
	untraced bool
	// needs is the release that it starts.
	needs release
	f     F
}

// args are what stood in the places of a sentence. There is at most one of each.
type args struct {
	worker   int // 1 to n, or anyWorker
	duration time.Duration
	count    int
	share    float64 // of 1
	point    failpoint.Point
}

// anyWorker stands for a worker to be chosen at random.
const anyWorker = 0

// call is a sentence as it was written.
type call[F any] struct {
	text string
	form form[F]
	args args
}

// phrase finds the form of a sentence. The error lists the forms there are.
func phrase[F any](text string, forms []form[F]) (call[F], error) {
	words := strings.Fields(text)
	var known []string
	for _, f := range forms {
		a, matches, err := match(words, strings.Fields(f.words))
		if err != nil {
			return call[F]{}, fmt.Errorf("%q: %w", text, err)
		}
		if matches {
			return call[F]{text: text, form: f, args: a}, nil
		}
		known = append(known, "  "+f.words)
	}
	return call[F]{}, fmt.Errorf("%q is none of\n%s", text, strings.Join(known, "\n"))
}

func match(words, form []string) (a args, matches bool, err error) {
	if len(words) != len(form) {
		return a, false, nil
	}
	for i, f := range form {
		if !strings.HasPrefix(f, "<") && f != words[i] {
			return a, false, nil
		}
	}
	for i, f := range form {
		switch f {
		case "<worker>":
			a.worker, err = workerNumber(words[i])
		case "<duration>":
			a.duration, err = positiveDuration(words[i])
		case "<count>":
			a.count, err = wholeNumber(words[i])
		case "<percent>":
			a.share, err = percent(words[i])
		case "<point>":
			a.point, err = pointNamed(words[i])
		}
		if err != nil {
			return a, false, err
		}
	}
	return a, true, nil
}

func workerNumber(word string) (int, error) {
	if word == "any" {
		return anyWorker, nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no worker: say its number, from 1, or any", word)
	}
	return n, nil
}

func positiveDuration(word string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 500ms", word)
	}
	return d, nil
}

func wholeNumber(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no whole number", word)
	}
	return n, nil
}

func percent(word string) (float64, error) {
	number, ok := strings.CutSuffix(word, "%")
	p, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || p < 0 || p > 100 {
		return 0, fmt.Errorf("%q is no percentage from 0%% to 100%%", word)
	}
	return p / 100, nil
}

func pointNamed(word string) (failpoint.Point, error) {
	p := failpoint.Point(word)
	if !slices.Contains(failpoint.Points(), p) {
		return "", fmt.Errorf("%q is none of the points %q", word, failpoint.Points())
	}
	return p, nil
}

var errEmpty = errors.New("there is nothing after the colon")

// hasWorker reports whether a form has a place for a worker.
func hasWorker(words string) bool { return strings.Contains(words, "<worker>") }
