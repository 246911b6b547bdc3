package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

func TestRefresh_OneCard(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, environ)
	for name, tc := range map[string]struct {
		credential, card string
		code             int
		blocked          bool
		text             string
	}{
		"blocked PIN": {"pin", cardBlocked, exitOK, true, "blocked  PIN of card ******946, 0 tries left\n"},
		"fine CVV":    {"cvv", cardFine, exitOK, false, "unblocked  CVV of card ******001"},
		"unknown":     {"pin", cardUnknown, exitFailed, false, "failed     PIN of card ******001: card_not_found: "},
	} {
		got := cli(t, environ, "refresh", tc.credential, tc.card, "--wait", "-o", "json")
		expect(t, got, tc.code)
		op := operation(t, one(t, "stdout", got.stdout))
		if !op.Done || op.UnblockAcceptedAt != nil || op.Status != nil && op.Status.Blocked != tc.blocked {
			t.Errorf("%s: operation = %+v, status %+v", name, op, op.Status)
		}
		text := cli(t, environ, "refresh", tc.credential, tc.card, "--wait")
		expect(t, text, tc.code)
		if !strings.HasPrefix(text.stdout, tc.text) {
			t.Errorf("%s: text = %q, want %q", name, text.stdout, tc.text)
		}
	}
}

func TestRefresh_ManyAreAnsweredInTheOrderOfTheirTokens(t *testing.T) {
	t.Parallel()
	box, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, environ)
	var want, lines []string
	for i := range 150 { // more than are under way at once
		lines = append(lines, fmt.Sprintf("200000%03d", i))
		want = append(want, fmt.Sprintf("******%03d", i))
	}
	content := "# cards of today\n\n  " + strings.Join(lines, "\r\n  ") + "\n"
	for name, read := range map[string]func() result{
		"file": func() result {
			return cli(t, environ, "refresh", "pin", "--file", writeFile(t, "cards.txt", content), "--wait", "-o", "json")
		},
		"standard input": func() result {
			return cliWith(t, strings.NewReader(content), environ, "refresh", "cvv", "--file", "-", "--wait", "-o", "json")
		},
		"arguments and standard input": func() result {
			return cliWith(t, strings.NewReader(strings.Join(lines[2:], "\n")), environ, "refresh", "cvv", lines[0], lines[1], "--file", "-", "--wait", "-o", "json")
		},
	} {
		got := read()
		expect(t, got, exitOK)
		var tokens []string
		for line := range strings.Lines(got.stdout) {
			op := operation(t, line)
			if op.State != tasks.Succeeded {
				t.Errorf("%s: %+v, want it succeeded", name, op)
			}
			tokens = append(tokens, op.PublicToken)
		}
		if strings.Join(tokens, " ") != strings.Join(want, " ") {
			t.Errorf("%s: answers for %v, want %v", name, tokens, want)
		}
	}
	for _, c := range []sandbox.Call{sandbox.CallUnblockPIN, sandbox.CallUnblockCVV} {
		if page := box.QueryLedger(sandbox.LedgerQuery{Call: c}); len(page.Entries) != 0 {
			t.Errorf("refreshes made %d calls of %s", len(page.Entries), c)
		}
	}
}

func TestRefresh_ManyWithoutWaitingOrInVain(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	accepted := cli(t, environ, "refresh", "pin", cardBlocked, cardFine, cardBlocked, "-o", "json")
	expect(t, accepted, exitOK)
	lines := strings.SplitAfter(accepted.stdout, "\n")
	if len(lines) != 4 || lines[3] != "" {
		t.Fatalf("stdout has not three lines: %q", accepted.stdout)
	}
	joined := 0
	ids := map[string]bool{}
	for _, line := range lines[:3] {
		var more []string
		if strings.Contains(line, `"joined"`) {
			joined, more = joined+1, []string{"joined"}
		}
		ids[operation(t, line, more...).ID] = true
	}
	if joined != 1 || len(ids) != 2 {
		t.Errorf("%d joined, %d operations, want the card that was given twice to be joined: %s", joined, len(ids), accepted.stdout)
	}

	waited := cli(t, environ, "refresh", "pin", cardBlocked, cardFine, "--wait", "--timeout", shortTimeout, "-o", "json")
	expect(t, waited, exitWaiting, "not all were done after "+shortTimeout)
	if n := strings.Count(waited.stdout, "\n"); n != 2 {
		t.Errorf("stdout has %d lines, want 2", n)
	}
	text := cli(t, environ, "refresh", "pin", cardBlocked, cardFine)
	expect(t, text, exitOK)
	if n := strings.Count(text.stdout, "accepted   PIN of card "); n != 2 {
		t.Errorf("text shows %d accepted operations, want 2: %q", n, text.stdout)
	}
}

func TestRefresh_ManyOfWhichSomeFail(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	startWorker(t, environ)
	got := cli(t, environ, "refresh", "pin", cardFine, cardUnknown, cardBlocked, "--wait", "-o", "json")
	expect(t, got, exitFailed)
	var states []string
	for line := range strings.Lines(got.stdout) {
		states = append(states, string(operation(t, line).State))
	}
	if want := "succeeded failed succeeded"; strings.Join(states, " ") != want {
		t.Errorf("states = %v, want %s", states, want)
	}
}

func TestRefresh_BadTokensAreNamedByPlaceAndNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	rdb, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	content := cardFine + "\n" + cardNumber + "\n# a comment\n\n" + cardTooLong + "\n" + cardOther + "\n"

	got := cliWith(t, strings.NewReader(content), environ, "refresh", "pin", cardBlocked, "bad token", "--file", "-", "-o", "json")
	expect(t, got, exitRefused, "nothing was asked for:", "\n  token 2: ", "\n  standard input line 2: ", "looks like a card number", "\n  standard input line 5: ")
	if n := strings.Count(got.stderr, "\n"); n != 4 {
		t.Errorf("stderr has %d lines, want a heading and one for each of three bad tokens: %s", n, got.stderr)
	}
	clean(t, "stderr", got.stderr, "bad token", cardTooLong)

	file := writeFile(t, "cards.txt", strings.Repeat("-\n", 25))
	many := cli(t, environ, "refresh", "pin", "--file", file)
	expect(t, many, exitRefused, file+" line 1: ", file+" line 10: ", "and 15 more")
	if strings.Contains(many.stderr, "line 11") {
		t.Errorf("stderr lists more than ten: %s", many.stderr)
	}

	long := cliWith(t, strings.NewReader(cardFine+"\n"+strings.Repeat("1", 1<<20)), environ, "refresh", "pin", "--file", "-")
	expect(t, long, exitRefused, "standard input line 2: it is too long")
	expect(t, cliWith(t, strings.NewReader("# nothing\n\n"), environ, "refresh", "pin", "--file", "-"), exitRefused, "no public token was given")
	expect(t, cli(t, environ, "refresh", "pin", cardFine, cardOther, "--expires-in", "1ms", "-o", "json"), exitRefused, "invalid argument")

	if n, err := rdb.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("Redis has %d keys (%v), want none", n, err)
	}
}

// openClient returns a client on the Redis of an environment.
func openClient(t testing.TB, environ []string) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(strings.TrimPrefix(environ[0], "REDIS_URL="))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opt)
	t.Cleanup(func() {
		if err := rdb.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return rdb
}

// asking runs a command that a test looks at while it goes on.
func asking(t testing.TB, environ []string, args ...string) <-chan result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	ended := make(chan result, 1)
	go func() {
		stdout, stderr := newOutput(), newOutput()
		code := run(ctx, program{args: args, environ: environ, stdin: strings.NewReader(""), stdout: stdout, stderr: stderr})
		ended <- result{code, stdout.String(), stderr.String()}
	}()
	return ended
}

func TestRefresh_ManyAreAskedForWithoutWaitingForAny(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	rdb := openClient(t, environ)
	const cards = 2*refreshParallel + 100
	var lines, want []string
	for i := range cards {
		lines, want = append(lines, fmt.Sprintf("2%08d", i)), append(want, fmt.Sprintf("******%03d", i%1000))
	}
	file := writeFile(t, "cards.txt", strings.Join(lines, "\n"))
	ended := asking(t, environ, "refresh", "pin", "--file", file, "--wait", "--timeout", "1h", "-o", "json")
	// No worker runs, so no wait comes to its end.
	timeout, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for n := 0; n < cards; {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%d of %d cards were asked for after %s", n, cards, patience)
		case got := <-ended:
			t.Fatalf("it has ended: %s", got)
		}
		keys, err := rdb.Keys(t.Context(), "cardworker:{cw*}:op:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		n = len(keys)
	}
	startWorker(t, environ)
	got := <-ended
	expect(t, got, exitOK)
	var tokens []string
	for line := range strings.Lines(got.stdout) {
		op := operation(t, line)
		if op.State != tasks.Succeeded {
			t.Errorf("%+v, want it succeeded", op)
		}
		tokens = append(tokens, op.PublicToken)
	}
	if strings.Join(tokens, " ") != strings.Join(want, " ") {
		t.Errorf("answers for %v, want %v", tokens, want)
	}
}

func TestRefresh_InterruptedShowsAllThatWereAccepted(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	rdb := openClient(t, environ)
	const cards = refreshParallel + 100
	var lines []string
	for i := range cards {
		lines = append(lines, fmt.Sprintf("200000%03d", i))
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended, stdout, stderr := make(chan int, 1), newOutput(), newOutput()
	go func() {
		ended <- run(ctx, program{
			args:    []string{"refresh", "pin", "--file", "-", "--wait", "--timeout", "1h", "-o", "json"},
			environ: environ, stdin: strings.NewReader(strings.Join(lines, "\n")), stdout: stdout, stderr: stderr,
		})
	}()
	accepted := func() int { return len(rdb.Keys(t.Context(), "cardworker:{cw*}:op:*").Val()) }
	for timeout := time.After(patience); accepted() < cards; {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			t.Fatalf("%d of %d cards were asked for after %s", accepted(), cards, patience)
		}
	}
	// The last ones may be recorded without the command having heard of it.
	interrupt()
	if code := <-ended; code != exitError || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, stderr %q, want 1 and that it was interrupted", code, stderr)
	}
	if n := strings.Count(stdout.String(), "\n"); n < cards-refreshParallel || n > cards {
		t.Errorf("stdout has %d lines, want at least %d", n, cards-refreshParallel)
	}
}

func TestWaiting_TimeOverIsTimeOverButNotUnread(t *testing.T) {
	t.Parallel()
	_, environ := startSandbox(t, sandbox.Config{})
	p := program{environ: environ, stdout: newOutput(), stderr: newOutput()}
	client, err := openProducer(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	acc, err := client.RefreshPINStatus(t.Context(), cardFine)
	if err != nil {
		t.Fatal(err)
	}
	w, before := waiting{wait: true, timeout: time.Hour}, time.Now().Add(-time.Hour)
	op, err := w.follow(t.Context(), p, client, acc.Operation, before)
	if exitCode(err) != exitWaiting || op.ID != acc.ID || op.Done {
		t.Errorf("an hour after its acceptance: %+v, %v, want it as it is and exit code %d", op, err, exitWaiting)
	}
	startWorker(t, environ)
	if _, err := client.Wait(t.Context(), acc.ID); err != nil {
		t.Fatal(err)
	}
	op, err = w.follow(t.Context(), p, client, acc.Operation, before)
	if err != nil || op.State != tasks.Succeeded {
		t.Errorf("an hour after its acceptance, and done: %+v, %v, want it succeeded", op, err)
	}
}

func TestRefresh_ARedisThatIsGoneIsNotAskedForEachCard(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := program{environ: []string{"REDIS_URL=" + server.URL()}, stdout: newOutput(), stderr: newOutput()}
	client, err := openProducer(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	var answers []*answer
	for _, card := range []string{cardFine, cardOther} {
		a := ask(t.Context(), client, tasks.RefreshPINStatus, card, nil)
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.at = a.at.Add(-time.Hour)
		answers = append(answers, a)
	}
	server.Stop()
	follow := followEach(t.Context(), p, client, waiting{wait: true, timeout: time.Hour})
	first, second := follow(answers[0]), follow(answers[1])
	for _, a := range []*answer{first, second} {
		if exitCode(a.err) != exitError || !errors.Is(a.err, enqueue.ErrQueueUnavailable) || a.acc.ID == "" {
			t.Errorf("operation %q, %v, want it as it was accepted and exit code %d", a.acc.ID, a.err, exitError)
		}
	}
	if want := "wait for " + second.acc.ID + ": " + enqueue.ErrQueueUnavailable.Error(); first.err.Error() == want || second.err.Error() != want {
		t.Errorf("the first says %q, the second %q, want the second not to have asked", first.err, second.err)
	}
}

// full takes so many bytes and then nothing.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if len(b) > f.room {
		return 0, errFull
	}
	f.room -= len(b)
	return len(b), nil
}

var errFull = errors.New("the disk is full")

func TestRefresh_AnOutputThatTakesNothingEndsTheAsking(t *testing.T) {
	t.Parallel()
	_, redisURL := redistest.Shared(t)
	environ := []string{"REDIS_URL=" + redisURL}
	rdb := openClient(t, environ)
	const cards = 20 * refreshParallel
	var tokens []string
	for i := range cards {
		tokens = append(tokens, fmt.Sprintf("2%08d", i))
	}
	stderr := newOutput()
	code := run(t.Context(), program{
		args: []string{"refresh", "pin", "--file", "-", "-o", "json"}, environ: environ,
		stdin: strings.NewReader(strings.Join(tokens, "\n")), stdout: &full{room: 1000}, stderr: stderr,
	})
	var done, all int
	if _, err := fmt.Sscanf(stderr.String()[strings.Index(stderr.String(), "stopped"):], "stopped after %d of %d cards", &done, &all); err != nil {
		t.Fatalf("stderr is %q: %v", stderr, err)
	}
	// A line has some 350 bytes.
	if code != exitError || !strings.Contains(stderr.String(), errFull.Error()) || done > 3 || all != cards {
		t.Errorf("exit code %d, %d of %d, stderr %q, want %d, at most 3 of %d and why", code, done, all, stderr, exitError, cards)
	}
	if n := len(rdb.Keys(t.Context(), "cardworker:{cw*}:op:*").Val()); n == 0 || n > cards/2 {
		t.Errorf("%d operations were accepted after the output was full, want few", n)
	}
}

func TestWhenever_ToldOfEachPause(t *testing.T) {
	t.Parallel()
	c := make(chan int, 3)
	c <- 1
	c <- 2
	var got []string
	for v := range whenever(c, func() {
		got = append(got, "idle")
		if len(got) == 3 {
			c <- 3
			c <- 4
			close(c)
		}
	}) {
		got = append(got, fmt.Sprint(v))
	}
	if want := "1 2 idle 3 4 idle"; strings.Join(got, " ") != want {
		t.Errorf("it went %v, want %s", got, want)
	}
	c = make(chan int, 1)
	c <- 1
	for range whenever(c, func() { got = nil }) {
		break
	}
	if got != nil {
		t.Error("nobody was told when the reader left")
	}
}
