package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// publicToken finds the full public token of a card of a load, whatever is around it, or the card number that
// poison has in the place of one.
var publicToken = regexp.MustCompile(`Zq\d{7}|4111111111111111`)

// record is in every command that names the record of an operation, which is where the full public token is;
// poisoned is in those that bring a task of poison, and where asynq writes down which tasks run, whatever it holds.
var record, poisoned = []byte("}:op:"), []byte("poison-")

// metrics asks every worker that runs for its metrics.
func (r *run) metrics() []byte {
	var out []byte
	for n, p := range r.fleet.slots {
		if p == nil {
			continue
		}
		r.fleet.awaitReady(r.t, n+1, true, readyWithin)
		_, body, err := p.get(r.t.Context(), "/metrics")
		if err != nil {
			r.t.Errorf("read the metrics of worker %d: %v", n+1, err)
		}
		out = append(out, body...)
	}
	return out
}

// noSecrets is I10 for a run that is over.
func (r *run) noSecrets(metrics []byte) {
	// A self-contained task carries the token through Redis, and docs/ARCHITECTURE.md says so.
	s := scanner{secrets: r.api.secrets(), selfContained: len(r.unborn) > 0}
	s.look("the metrics", metrics, true)
	if len(metrics) == 0 {
		r.t.Error("there are no metrics to look into")
	}
	for i, p := range r.fleet.all {
		s.look(fmt.Sprintf("the log of worker process %d", i+1), p.output.bytes(), true)
	}
	spans := r.traces.stop(r.t)
	s.look("the traces", spans, true)
	if len(spans) == 0 && r.traces.ratio > 0 {
		r.t.Error("there are no traces to look into")
	}
	for _, tap := range r.taps {
		text := tap.stop()
		if len(text) == 0 {
			r.t.Error("nothing was seen of the commands that Redis served")
		}
		s.lookIntoCommands("the commands that Redis served", text, "\n")
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for i, server := range r.backend.servers {
		c := r.backend.node(i)
		if err := errors.Join(s.lookIntoKeys(ctx, c), c.Close(), s.lookIntoFiles(server.Dir)); err != nil {
			r.t.Errorf("look for secrets in Redis: %v", err)
		}
	}
	for _, what := range s.found {
		r.t.Errorf("I10: %s", what)
	}
}

// scanner looks for every secret in everything that was written down, and for full public tokens
// everywhere but in the records.
type scanner struct {
	secrets map[string]string // by what they are
	found   []string
	// selfContained: there were tasks that name their card, so that commands about tasks may hold tokens.
	selfContained bool
}

// look searches a text. Where requests are seen and where records are kept, full public tokens are at home.
func (s *scanner) look(where string, text []byte, tokensToo bool) {
	for name, secret := range s.secrets {
		if bytes.Contains(text, []byte(secret)) {
			s.found = append(s.found, name+" is in "+where)
		}
	}
	if tokensToo && publicToken.Match(text) {
		s.found = append(s.found, "a full public token is in "+where)
	}
}

// lookIntoCommands searches commands, one after each separator.
func (s *scanner) lookIntoCommands(where string, text []byte, separator string) {
	s.look(where, text, false)
	if s.selfContained {
		return
	}
	for command := range bytes.SplitSeq(text, []byte(separator)) {
		if publicToken.Match(command) && !bytes.Contains(command, record) && !bytes.Contains(command, poisoned) {
			s.found = append(s.found, "a full public token is in "+where+", in a command that is about no record")
			return
		}
	}
}

// lookIntoFiles reads the RDB file, the append-only files and the log of a server.
func (s *scanner) lookIntoFiles(dir string) error {
	root := os.DirFS(dir)
	return fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		name := "the file " + filepath.Base(path)
		switch filepath.Ext(path) {
		case ".aof":
			s.lookIntoCommands(name, text, "\r\n*")
		case ".rdb":
			s.look(name, text, false) // The keys are looked into one by one.
		default:
			s.look(name, text, true)
		}
		return err
	})
}

// lookIntoKeys reads every key but the records, and has the server write its RDB file uncompressed.
func (s *scanner) lookIntoKeys(ctx context.Context, c *redis.Client) error {
	if err := c.ConfigSet(ctx, "rdbcompression", "no").Err(); err != nil {
		return err
	}
	if err := c.Save(ctx).Err(); err != nil {
		return err
	}
	keys, err := scan(ctx, c, "*")
	if err != nil {
		return err
	}
	for _, key := range keys {
		s.look("the name of a key", []byte(key), true)
		text, err := contents(ctx, c, key)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		// The record is where the full public token is.
		s.look("the key "+key, []byte(text), !strings.Contains(key, ":op:"))
	}
	return nil
}

// contents returns all that a key holds.
func contents(ctx context.Context, c *redis.Client, key string) (string, error) {
	kind, err := c.Type(ctx, key).Result()
	if err != nil {
		return "", err
	}
	var v any
	switch kind {
	case "string":
		v, err = c.Get(ctx, key).Result()
	case "hash":
		v, err = c.HGetAll(ctx, key).Result()
	case "list":
		v, err = c.LRange(ctx, key, 0, -1).Result()
	case "set":
		v, err = c.SMembers(ctx, key).Result()
	case "zset":
		v, err = c.ZRange(ctx, key, 0, -1).Result()
	case "stream":
		v, err = c.XRange(ctx, key, "-", "+").Result()
	case "none": // It has expired since.
		return "", nil
	default:
		return "", fmt.Errorf("it is a %s", kind)
	}
	return fmt.Sprint(v), err
}
