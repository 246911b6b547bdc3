package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/taskqueue"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// What the doctor looks at. The configuration of what is asked for is always looked at.
const (
	aboutConfiguration = "configuration"
	aboutRedis         = "redis"
	aboutPayblr        = "payblr"
	aboutWorkers       = "workers"
)

// verdict is what the doctor thinks of one thing.
type verdict string

const (
	fine    verdict = "ok"
	warning verdict = "warning" // it works, and something that is promised may not hold
	broken  verdict = "failed"
)

// finding is one thing that the doctor has to say.
type finding struct {
	About   string  `json:"about"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
}

func newDoctor(p program) *cobra.Command {
	all := []string{aboutRedis, aboutPayblr, aboutWorkers}
	cmd := &cobra.Command{
		Use:   "doctor [redis|payblr|workers]...",
		Short: "Check Redis, the API and the configuration, and say what to change",
		Long: `Checks the environment as the other commands read it, whether Redis can be used and which of
its settings risk losing operations, whether the API gives an access token and can be
reached, and whether workers run and their queues do. It changes nothing, asks about no
card and makes no call that is billed.

It ends with 0 when nothing has failed. A warning is something that works and still is worth
a change. Name what to look at where not all of it is used: a backend has no credentials
of the API.`,
		Example: `  cardworker doctor
  cardworker doctor redis workers
  cardworker doctor -o json`,
		ValidArgs: all,
		Args: func(_ *cobra.Command, args []string) error {
			for _, a := range args {
				if !slices.Contains(all, a) {
					return usagef("%q is nothing that the doctor looks at; name some of %s", safeWord(a), strings.Join(all, ", "))
				}
			}
			return nil
		},
	}
	output := cmd.Flags().StringP("output", "o", "text", "text, or json: one finding per line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pr, err := newPrinter(p, *output)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			args = all
		}
		d := &doctor{printer: pr}
		d.examine(cmd.Context(), p.environ, args)
		if err := errors.Join(d.err, context.Cause(cmd.Context())); err != nil {
			return err
		}
		if d.failed > 0 {
			return &exit{exitError, fmt.Errorf("the doctor found %s and %s", counted(d.failed, "failure"), counted(d.warned, "warning"))}
		}
		return nil
	}
	return cmd
}

func counted[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// doctor looks at one thing after the other and says at once what it finds.
type doctor struct {
	printer
	failed, warned int
	err            error // that of writing
}

// say writes a finding.
func (d *doctor) say(about string, v verdict, format string, args ...any) {
	f := finding{about, v, fmt.Sprintf(format, args...)}
	switch v {
	case broken:
		d.failed++
	case warning:
		d.warned++
	case fine:
	}
	line := fmt.Sprintf("%-8s %-14s %s", f.Verdict, f.About, f.Text)
	if d.json {
		b, err := json.Marshal(f)
		if err != nil {
			d.err = errors.Join(d.err, err)
			return
		}
		line = string(b)
	}
	_, err := fmt.Fprintln(d.out, line)
	d.err = errors.Join(d.err, err)
}

func (d *doctor) examine(ctx context.Context, environ, what []string) {
	wants := func(about string) bool { return slices.Contains(what, about) }
	parts := []part{partRedis, partTracing}
	if wants(aboutPayblr) {
		parts = append(parts, partPayblr)
	}
	if wants(aboutWorkers) {
		parts = append(parts, partWorker, partMonitor)
	}
	s, bad := readSettings(environ, parts...)
	for _, line := range bad.lines() {
		d.say(aboutConfiguration, broken, "%s", line)
	}
	if len(bad) == 0 {
		d.say(aboutConfiguration, fine, "all variables are in order")
	}
	if !bad.concern("REDIS_") && (wants(aboutRedis) || wants(aboutWorkers)) {
		d.redis(ctx, s, wants(aboutRedis), wants(aboutWorkers))
	}
	if !bad.concern("PAYBLR_") && wants(aboutPayblr) {
		d.payblr(ctx, s)
	}
}

// redis looks at the server itself, at what asynq keeps in it, or at both.
func (d *doctor) redis(ctx context.Context, s settings, itself, workers bool) {
	conn, err := openRedis(s)
	if err != nil {
		d.say(aboutRedis, broken, "%v", err)
		return
	}
	defer func() { d.err = errors.Join(d.err, conn.Close()) }()
	if conn.Embedded {
		d.say(aboutRedis, warning, "REDIS_URL is embedded: each process has a Redis of its own then, which forgets everything when it ends")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	warnings, err := conn.Check(ctx)
	if err != nil {
		d.say(aboutRedis, broken, "%v", err)
		return
	}
	if itself {
		for _, w := range warnings {
			v := warning
			if w.Evicts() {
				v = broken
			}
			d.say(aboutRedis, v, "%s", w)
		}
		d.distance(ctx, conn)
	}
	if workers {
		d.workers(ctx, conn)
	}
}

// skewed is how far the clocks of this machine and of Redis may be apart before it is worth a word.
const skewed = 5 * time.Second

// distance says how far away Redis is, in round trips and in time of day.
func (d *doctor) distance(ctx context.Context, conn *redisconn.Conn) {
	var (
		best  time.Duration
		ahead time.Duration
	)
	for range 5 {
		start := time.Now()
		there, err := conn.Client.Time(ctx).Result()
		took := time.Since(start)
		if err != nil {
			d.say(aboutRedis, broken, "%v", conn.Explain(ctx, err))
			return
		}
		if best == 0 || took < best {
			best, ahead = took, there.Sub(start.Add(took/2))
		}
	}
	if ahead.Abs() > skewed {
		d.say(aboutRedis, warning, "the clocks of Redis and of this machine are %s apart: nothing is decided by this one, but times in logs differ; set both by NTP",
			ahead.Abs().Round(time.Second))
	}
	d.say(aboutRedis, fine, "%s answers in %s, of which an unblock takes six", conn, best.Round(10*time.Microsecond))
}

// workers looks at what asynq keeps of servers and queues.
func (d *doctor) workers(ctx context.Context, conn *redisconn.Conn) {
	queues, err := taskqueue.Queues(ctx, conn.Client)
	if err == nil {
		err = d.processes(asynq.NewInspectorFromRedisClient(conn.Client), d.queues(queues))
	}
	switch explained := conn.Explain(ctx, err); {
	case err == nil:
	case redisconn.KindOf(explained) == redisconn.Forbidden:
		d.say(aboutWorkers, warning, "this user of Redis may not look at asynq's keys, so it is not known whether workers run: let the worker's or the console's user look")
	default:
		d.say(aboutWorkers, broken, "%v", explained)
	}
}

// queues says which queues do not run, and returns how many tasks wait.
func (d *doctor) queues(queues []taskqueue.Queue) (waiting int64) {
	for _, q := range queues {
		waiting += q.Waiting
		if q.Paused {
			d.say(aboutWorkers, warning, "the queue %s is paused, and what is in it waits until it expires: resume it with cardworker monitor --allow-actions", q.Name)
		}
		if q.Archived > 0 {
			d.say(aboutWorkers, warning, "in the archive of the queue %s: %s that nothing works on any more; cardworker monitor shows why", q.Name, counted(q.Archived, "task"))
		}
	}
	return waiting
}

// processes says how many workers run. Each has several servers of asynq.
func (d *doctor) processes(inspector *asynq.Inspector, waiting int64) error {
	servers, err := inspector.Servers()
	if err != nil {
		return err
	}
	running := map[string]bool{}
	for _, s := range servers {
		for _, q := range tasks.Queues() {
			if _, ours := s.Queues[q]; ours {
				running[fmt.Sprintf("%s:%d", s.Host, s.PID)] = true
			}
		}
	}
	if len(running) == 0 {
		d.say(aboutWorkers, warning, "no worker runs, and %s: start cardworker worker, or what is asked for expires", are(waiting))
		return nil
	}
	d.say(aboutWorkers, fine, "running: %s; %s", counted(len(running), "worker"), are(waiting))
	return nil
}

func are(waiting int64) string {
	if waiting == 1 {
		return "1 task waits"
	}
	return fmt.Sprintf("%d tasks wait", waiting)
}

// payblr asks for an access token and whether anything answers where the API should be.
func (d *doctor) payblr(ctx context.Context, s settings) {
	client, err := payblr.New(s.payblrConfig())
	if err != nil {
		d.say(aboutPayblr, broken, "PAYBLR_… settings: %v", err)
		return
	}
	defer client.Close()
	if err := client.CheckToken(ctx); err != nil {
		names := "PAYBLR_TOKEN_URL"
		if payblr.ClassOf(err) == payblr.ClassUnauthorized {
			names = "PAYBLR_CLIENT_ID, PAYBLR_CLIENT_SECRET, PAYBLR_SCOPE"
		}
		d.say(aboutPayblr, broken, "no access token (%s): %v", names, err)
	} else {
		d.say(aboutPayblr, fine, "PAYBLR_TOKEN_URL gives access tokens")
	}
	if err := client.Reach(ctx); err != nil {
		d.say(aboutPayblr, broken, "the API cannot be reached (PAYBLR_BASE_URL): %v", err)
		return
	}
	d.say(aboutPayblr, fine, "something answers at PAYBLR_BASE_URL; whether it lets this client in shows with the first card")
}
