package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/doorbell"
)

// silentRedis never answers.
type silentRedis struct{ redis.UniversalClient }

func (silentRedis) EvalSha(ctx context.Context, sha1 string, _ []string, _ ...any) *redis.Cmd {
	<-ctx.Done()
	cmd := redis.NewCmd(ctx, "evalsha", sha1)
	cmd.SetErr(ctx.Err())
	return cmd
}

func TestUncancelled_TheLastWritesOfAStopShareOneDeadline(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		last bool
		want time.Duration
	}{
		"while tasks run": {false, 10 * uncancelTimeout},
		"at the end":      {true, uncancelTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				u := &uncancelled{UniversalClient: silentRedis{}, last: func() bool { return tc.last }}
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // As asynq does before it repeats a write.
				start := time.Now()
				for range 10 {
					if err := u.EvalSha(ctx, "sha", nil).Err(); err == nil {
						t.Error("a write to a Redis that does not answer went well")
					}
				}
				if took := time.Since(start); took != tc.want {
					t.Errorf("ten repeats took %s, want %s", took, tc.want)
				}
			})
		})
	}
}

func TestServer_OnlyRepeatsAreLeftWhenNoTaskRunsOrItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		share := doorbell.NewPlaces(2).Share(0)
		s := &server{tasks: doorbell.NewHandful(silentRedis{}, share, nil, "unblock"), share: share, drain: time.Minute}
		want := func(want bool, when string) {
			t.Helper()
			if got := s.onlyRepeats(); got != want {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		want(false, "while it takes tasks")
		now := time.Now()
		s.stopped.Store(&now)
		want(true, "it stops, and no task runs")
		s.tasks.Ended() // One end more than there were tasks: the places are not all at rest either.
		want(false, "it stops, and a task runs")
		advance(time.Minute + 1)
		want(true, "the time of the task is over")
	})
}
