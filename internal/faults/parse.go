package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cardworker/cardworker/enqueue"
)

// Defaults of a scenario that says nothing else.
const (
	defaultWorkers = 2
	defaultExpiry  = 2 * time.Minute
)

// Parse reads a scenario. The error names the line of everything that is wrong.
func Parse(name, text string) (*Scenario, error) {
	s := &Scenario{Name: name, Redis: "single", Workers: defaultWorkers, Expiry: defaultExpiry}
	var errs []error
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		comment, isComment := strings.CutPrefix(line, "#")
		switch {
		case line == "":
		case isComment && s.Title == "":
			s.Title = strings.TrimSpace(comment)
		case isComment:
		default:
			if err := s.line(i+1, line); err != nil {
				errs = append(errs, fmt.Errorf("%s, line %d: %w", name, i+1, err))
			}
		}
	}
	if len(errs) == 0 {
		if err := s.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// line reads one line that is not a comment.
func (s *Scenario) line(n int, line string) error {
	head, rest, ok := strings.Cut(line, ":")
	rest = strings.TrimSpace(rest)
	if !ok || rest == "" {
		return fmt.Errorf("%q: %w", line, errEmpty)
	}
	words := strings.Fields(head)
	switch {
	case head == "redis":
		return s.redis(rest)
	case head == "workers":
		return s.workers(rest)
	case head == "producers":
		return s.producers(rest)
	case head == "load":
		return s.load(rest)
	case head == "api":
		return s.api(rest)
	case head == "expect":
		c, err := phrase(rest, slices.Concat(checks, answerChecks))
		s.expectations = append(s.expectations, expectation{n, c})
		return err
	case words[0] == "at" || words[0] == "every":
		return s.step(head, rest)
	default:
		return fmt.Errorf("%q is none of redis, workers, producers, load, api, expect, at …, every …", head)
	}
}

func (s *Scenario) redis(text string) error {
	words := strings.Fields(text)
	if !slices.Contains([]string{"single", "sentinel", "cluster"}, words[0]) {
		return fmt.Errorf("%q is none of single, sentinel, cluster", words[0])
	}
	s.Redis, s.RedisArgs = words[0], nil
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok || s.Redis != "single" {
			return fmt.Errorf("%q: only single takes settings, each as name=value", w)
		}
		if name == "clock" {
			d, err := time.ParseDuration(value)
			if err != nil {
				return fmt.Errorf("%q is no clock such as clock=-5m", w)
			}
			s.Clock = d
			continue
		}
		s.RedisArgs = append(s.RedisArgs, "--"+name, value)
	}
	return nil
}

func (s *Scenario) workers(text string) (err error) {
	words := strings.Fields(text)
	if s.Workers, err = wholeNumber(words[0]); err != nil {
		return err
	}
	for _, w := range words[1:] {
		if !strings.Contains(w, "=") {
			return fmt.Errorf("%q is no variable such as PAYBLR_TIMEOUT=2s", w)
		}
	}
	s.WorkerEnv = words[1:]
	return nil
}

// producers reads "durability replica".
func (s *Scenario) producers(text string) error {
	name, level, _ := strings.Cut(text, " ")
	s.Durability = enqueue.Durability(level)
	if name != "durability" || !slices.Contains(enqueue.Durabilities(), s.Durability) {
		return fmt.Errorf("%q is not durability with one of %v", text, enqueue.Durabilities())
	}
	return nil
}

// load reads "400 operations at 100/s, each for 60s".
func (s *Scenario) load(text string) error {
	what, life, hasLife := strings.Cut(text, ", each for ")
	words := strings.Fields(what)
	if len(words) != 4 || words[2] != "at" || !strings.HasSuffix(words[3], "/s") {
		return fmt.Errorf("%q is not like 400 operations at 100/s, each for 60s", text)
	}
	var err1, err2, err3 error
	s.Operations, err1 = wholeNumber(words[0])
	s.Kinds = words[1]
	s.Rate, err2 = wholeNumber(strings.TrimSuffix(words[3], "/s"))
	if hasLife {
		s.Expiry, err3 = positiveDuration(life)
	}
	if _, ok := kindsOf[s.Kinds]; !ok {
		return fmt.Errorf("%q is none of operations, unblocks, refreshes", s.Kinds)
	}
	if s.Rate == 0 {
		return errors.New("a rate of 0/s never ends")
	}
	return errors.Join(err1, err2, err3)
}

// api reads "latency 50ms, chaos 10%, orphans 50%".
func (s *Scenario) api(text string) (err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		switch name {
		case "latency":
			s.Latency, err = positiveDuration(value)
		case "chaos":
			s.Chaos, err = percent(value)
		case "orphans":
			s.Orphans, err = percent(value)
		default:
			err = fmt.Errorf("%q is none of latency, chaos, orphans", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step reads "at 2s" or "every 500ms from 1s, 20 times", and what happens then.
func (s *Scenario) step(when, what string) (err error) {
	var st step
	if st.do, err = phrase(what, slices.Concat(faults, answerFaults, clockFaults, wireFaults)); err != nil {
		return err
	}
	words := strings.Fields(strings.ReplaceAll(when, ",", " "))
	switch {
	case words[0] == "at" && len(words) == 2:
		st.times = 1
		st.at, err = positiveDuration(words[1])
	case words[0] == "every" && len(words) == 6 && words[2] == "from" && words[5] == "times":
		var err1, err2, err3 error
		st.every, err1 = positiveDuration(words[1])
		st.at, err2 = positiveDuration(words[3])
		st.times, err3 = wholeNumber(words[4])
		err = errors.Join(err1, err2, err3)
	default:
		err = fmt.Errorf("%q is neither like at 2s nor like every 500ms from 1s, 20 times", when)
	}
	s.steps = append(s.steps, st)
	return err
}

func (s *Scenario) validate() error {
	var errs []error
	if s.Title == "" {
		errs = append(errs, errors.New("the first line has to say in a comment what it is about"))
	}
	if s.Operations == 0 {
		errs = append(errs, errors.New("there is no load"))
	}
	if len(s.expectations) == 0 {
		errs = append(errs, errors.New("nothing is expected"))
	}
	if s.needsProxy() && s.Redis != "single" {
		errs = append(errs, fmt.Errorf("the network faults need a single Redis: the servers of a %s tell clients their own addresses", s.Redis))
	}
	if s.needsClock() && s.Redis != "single" {
		errs = append(errs, errors.New("only a single Redis has a clock that can be set"))
	}
	for _, st := range s.steps {
		if st.do.args.worker > s.Workers {
			errs = append(errs, fmt.Errorf("%q: there are %d workers", st.do.text, s.Workers))
		}
	}
	return errors.Join(errs...)
}
