package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"

	"github.com/cardworker/cardworker/internal/redistest"
)

func TestScanner_FindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-of-the-client"
	server := redistest.Start(t)
	b := &backend{servers: []*redistest.Server{server}}
	c := b.node(0)
	t.Cleanup(func() { _ = c.Close() })
	ctx := t.Context()
	for _, err := range []error{
		c.Set(ctx, "string", secret, 0).Err(),
		c.HSet(ctx, "hash", "field", "Zq0000001").Err(),
		c.RPush(ctx, "list", "x", secret).Err(),
		c.SAdd(ctx, "set", "Zq0000002").Err(),
		c.HSet(ctx, "cardworker:{cw00}:op:1", "token", "Zq0000003").Err(),
		c.Set(ctx, "Zq0000004", "in its name", 0).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := scanner{secrets: map[string]string{"the secret": secret}}
	if err := s.lookIntoKeys(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.Dir, "x.incr.aof"), []byte("…"+secret+"…"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"y.incr.aof": "*2\r\n$3\r\nSET\r\n$9\r\nZq0000005\r\n",
		"z.incr.aof": "*4\r\n$4\r\nHSET\r\n$22\r\ncardworker:{cw00}:op:1\r\n$5\r\ntoken\r\n$9\r\nZq0000006\r\n",
		"some.log":   "Zq0000007",
	} {
		if err := os.WriteFile(filepath.Join(server.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.lookIntoFiles(server.Dir); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a full public token is in the key hash", "a full public token is in the key set", "a full public token is in the name of a key",
		"a full public token is in the file some.log", "a full public token is in the file y.incr.aof, in a command that is about no record",
		"the secret is in the file dump.rdb", "the secret is in the file x.incr.aof",
		"the secret is in the key list", "the secret is in the key string",
	}
	slices.Sort(s.found)
	slices.Sort(want)
	if !slices.Equal(s.found, want) {
		t.Errorf("found\n%q\nwant\n%q", s.found, want)
	}
}

// reports keeps what a test says of itself.
type reports struct {
	testing.TB
	said []string
}

func (r *reports) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// TestNoSecrets_LooksEverywhere plants each secret in each place that a run looks into: a scan that finds nothing
// because it looks at nothing is worth nothing.
func TestNoSecrets_LooksEverywhere(t *testing.T) {
	t.Parallel()
	a := &api{secret: "secret-of-the-client", tokens: []string{"token-of-access"}}
	const token = "Zq0000001"
	for what, canary := range map[string]string{"the client secret": a.secret, "a PIN": cardPIN, "access token …cess": a.tokens[0], "a full public token": token} {
		for where, plant := range map[string]func(r *run, c *redis.Client) (metrics string){
			"the metrics": func(*run, *redis.Client) string { return "calls{card=\"" + canary + "\"} 1" },
			"the log of worker process 2": func(r *run, _ *redis.Client) string {
				_, _ = r.fleet.all[1].output.Write([]byte("{\"msg\":\"it is " + canary + "\"}\n"))
				return ""
			},
			"the traces": func(r *run, _ *redis.Client) string {
				_, span := r.traces.provider.Tracer("test").Start(r.t.Context(), "process unblock")
				span.SetAttributes(attribute.String("says", "it is "+canary))
				span.End()
				return ""
			},
			"the commands that Redis served": func(r *run, c *redis.Client) string {
				// It leaves nothing behind but the memory of the one who listened.
				if err := c.Publish(r.t.Context(), "channel", canary).Err(); err != nil {
					t.Fatal(err)
				}
				return ""
			},
			"the key asynq:{unblock}:t:1": func(r *run, c *redis.Client) string {
				if err := c.HSet(r.t.Context(), "asynq:{unblock}:t:1", "msg", canary).Err(); err != nil {
					t.Fatal(err)
				}
				return ""
			},
			"the file appendonly.aof.1.incr.aof": func(r *run, c *redis.Client) string {
				key := "for a moment"
				if err := errors.Join(c.Set(r.t.Context(), key, canary, 0).Err(), c.Del(r.t.Context(), key).Err()); err != nil {
					t.Fatal(err)
				}
				return ""
			},
		} {
			t.Run(what+" in "+where, func(t *testing.T) {
				t.Parallel()
				server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
				said := &reports{TB: t}
				r := &run{t: said, api: a, backend: &backend{servers: []*redistest.Server{server}}, fleet: &fleet{all: []*process{{output: &output{}}, {output: &output{}}}}}
				r.watchCommands()
				r.traces = startTracing(t, &Scenario{})
				_, span := r.traces.provider.Tracer("test").Start(t.Context(), "harmless")
				span.End()
				c := r.backend.node(0)
				t.Cleanup(func() { _ = c.Close() })
				metrics := "calls 1\n" + plant(r, c)
				r.noSecrets([]byte(metrics))
				if want := "I10: " + what + " is in " + where; !slices.ContainsFunc(said.said, func(s string) bool { return strings.HasPrefix(s, want) }) {
					t.Errorf("the scan says %q, want %q among it", said.said, want)
				}
			})
		}
	}
}
