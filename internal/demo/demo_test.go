package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cardworker/cardworker/internal/sandbox"
	"github.com/cardworker/cardworker/tasks"
)

func TestRun_TellsTheWholeStoryAndNoSecret(t *testing.T) {
	t.Parallel()
	var out screen
	if err := Run(t.Context(), Config{Out: &out}); err != nil {
		t.Fatalf("Run: %v", err)
	}
	text := out.String()
	for _, sc := range story() {
		if n := strings.Count(text, sc.title); n != 2 {
			t.Errorf("%q is there %d times, want in the story and in the summary", sc.title, n)
		}
		if strings.Contains(text, sc.card) {
			t.Errorf("the whole public token of %q is shown", sc.title)
		}
	}
	if !strings.Contains(text, "7 of 7 scenes") {
		t.Errorf("the summary does not say that all scenes went well:\n%s", text)
	}
	for _, secret := range []string{sandbox.DefaultClientSecret, "Bearer", "\x1b"} {
		if strings.Contains(text, secret) {
			t.Errorf("the output holds %q", secret)
		}
	}
	checkWidth(t, text, narrowest)
}

// checkWidth fails the test for each line that takes more than width columns.
func checkWidth(t *testing.T, text string, width int) {
	t.Helper()
	for l := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > width {
			t.Errorf("a line takes %d columns, want at most %d: %s", n, width, l)
		}
	}
}

func TestRun_ColoursOnlyAddToTheText(t *testing.T) {
	t.Parallel()
	var out screen
	if err := run(t.Context(), Config{Out: &out, Color: true}, story()[:1]); err != nil {
		t.Fatalf("run: %v", err)
	}
	text := out.String()
	if !strings.Contains(text, "\x1b["+green+"m") {
		t.Error("nothing is green")
	}
	stripped := regexp.MustCompile(`\x1b\[[0-9]*m`).ReplaceAllString(text, "")
	if strings.Contains(stripped, "\x1b") {
		t.Error("there are other escape sequences than colours")
	}
	checkWidth(t, stripped, narrowest)
}

func TestRun_SceneThatGoesWrongIsAnErrorAfterTheSummary(t *testing.T) {
	t.Parallel()
	wrong := scene{title: "A promise that is not kept", kind: tasks.UnblockPIN, card: "111111111", taps: 1, facts: []fact{unblocksSent(0)}}
	right := story()[0]
	var out screen
	// With Serve too: whoever asked for a working system has to learn that it is none.
	cfg := Config{Out: &out, Serve: true, SandboxAddr: freePort, MonitorAddr: freePort, RedisAddr: freePort}
	err := run(t.Context(), cfg, []scene{wrong, right})
	if err == nil || !strings.Contains(err.Error(), "1 of 2 scenes") || !strings.Contains(err.Error(), "1 unblock sent instead of 0") {
		t.Errorf("run = %v, want an error that says what went wrong", err)
	}
	for _, want := range []string{"✗ 1 unblock sent instead of 0", "1 of 2 scenes went as they should", right.title} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}

func TestRun_EndOfContextStopsTheStoryMidway(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := screen{needle: story()[3].title, found: cancel}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Config{Out: &out}) }()
	if err := await(t, ended, "the demo to stop"); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the context's error", err)
	}
	if text := out.String(); strings.Contains(text, "scenes went as they should") || strings.Contains(text, story()[4].title) {
		t.Error("the story went on after the context had ended")
	}
}

func TestRun_EndedContextStartsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out screen
	if err := Run(ctx, Config{Out: &out}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the context's error", err)
	}
	if out.String() != "" {
		t.Errorf("printed %q, want nothing", out.String())
	}
}

func TestRun_AddressInUseIsAnErrorThatNamesThePart(t *testing.T) {
	t.Parallel()
	taken := occupy(t)
	for part, cfg := range map[string]Config{
		"Redis":       {RedisAddr: taken},
		"the sandbox": {SandboxAddr: taken},
		"the monitor": {Serve: true, RedisAddr: freePort, SandboxAddr: freePort, MonitorAddr: taken},
	} {
		cfg.Out = io.Discard
		if err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "start "+part) || !strings.Contains(err.Error(), taken) {
			t.Errorf("%s at a taken address: %v, want an error that names both", part, err)
		}
	}
}

// occupy returns a loopback address that is taken until the test ends.
func occupy(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", freePort)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l.Addr().String()
}

func TestListen_PrefersGivenThenDefaultThenFreePort(t *testing.T) {
	t.Parallel()
	taken := errors.New("taken")
	for _, tc := range []struct {
		name, given, preferred string
		refuse, want           string
		err                    error
	}{
		{"Given", "given", "preferred", "", "given", nil},
		{"GivenIsTaken", "given", "preferred", "given", "given", taken},
		{"Default", "", "preferred", "", "preferred", nil},
		{"DefaultIsTaken", "", "preferred", "preferred", freePort, nil},
		{"NoDefault", "", "", "", freePort, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var tried string
			err := listen(tc.given, tc.preferred, func(addr string) error {
				if tried = addr; addr == tc.refuse {
					return taken
				}
				return nil
			})
			if tried != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("listen ends at %q with %v, want %q with %v", tried, err, tc.want, tc.err)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestRun_OutputThatFailsEndsTheStory(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context(), Config{Out: broken{io.ErrClosedPipe}}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Run = %v, want the error of the output", err)
	}
	if err := Run(t.Context(), Config{}); err == nil {
		t.Error("Run without an output succeeds, want an error")
	}
}
