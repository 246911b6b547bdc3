package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/worker"
)

const (
	// stopTimeout bounds the stop of a system.
	stopTimeout = 30 * time.Second
	// resultKept is how long stock keeps a result. Without it asynq deletes a task with its result as soon as
	// it is done, and nobody could read it.
	resultKept = 24 * time.Hour
)

// The types of stock's tasks, and its queues where it has two.
const (
	stockUnblock = "pin:unblock"
	stockConfirm = "pin:confirm"
	stockRefresh = "pin:status"
	queueDefault = "default"
	queueLow     = "low"
)

// stock is asynq as it comes: clients, pools, intervals and priorities are its defaults.
type stock struct {
	rdb    redis.UniversalClient
	client *asynq.Client
	server *asynq.Server
	api    worker.API
	seen   *trips

	unblocks, refreshes atomic.Int64
	running             atomic.Bool
	waiting             sync.Map // chan time.Time by public token
}

// newStock returns stock asynq with so many places for tasks, or with as many as it gives itself.
func newStock(at place, concurrency int) *stock {
	rdb := asynq.RedisClientOpt{Addr: at.redisAddr}.MakeRedisClient().(redis.UniversalClient)
	rdb.AddHook(at.seen.of("asynq"))
	cfg := asynq.Config{Concurrency: concurrency, Logger: silent{}}
	if at.urgency {
		// The weights of its documentation.
		cfg.Queues = map[string]int{queueDefault: 6, queueLow: 1}
	}
	return &stock{
		rdb: rdb, api: at.api, seen: at.seen,
		client: asynq.NewClientFromRedisClient(rdb), server: asynq.NewServerFromRedisClient(rdb, cfg),
	}
}

// stockPayload is what a task of stock holds.
type stockPayload struct {
	Token string `json:"token"`
}

func (s *stock) accept(ctx context.Context, c card) error {
	typ, queue, opts := stockUnblock, queueDefault, []asynq.Option(nil)
	if c.refresh {
		typ, queue, opts = stockRefresh, queueLow, []asynq.Option{asynq.Retention(resultKept)}
	}
	return s.enqueue(ctx, typ, queue, c.token(), opts...)
}

func (s *stock) enqueue(ctx context.Context, typ, queue, token string, opts ...asynq.Option) error {
	payload, err := json.Marshal(stockPayload{token})
	if err != nil {
		return err
	}
	opts = append(opts, asynq.TaskID(typ+":"+token), asynq.Queue(queue))
	_, err = s.client.EnqueueContext(ctx, asynq.NewTask(typ, payload), opts...)
	return err
}

func (s *stock) follow(ctx context.Context, c card) (time.Time, error) {
	readable := make(chan time.Time, 1)
	s.waiting.Store(c.token(), readable)
	if err := s.accept(ctx, c); err != nil {
		return time.Time{}, err
	}
	select {
	case at := <-readable:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

func (s *stock) start(context.Context) error {
	mux := asynq.NewServeMux()
	mux.HandleFunc(stockUnblock, s.unblock)
	mux.HandleFunc(stockConfirm, s.confirm)
	mux.HandleFunc(stockRefresh, s.confirm)
	s.running.Store(true)
	return s.server.Start(mux)
}

func (s *stock) unblock(ctx context.Context, t *asynq.Task) error {
	var p stockPayload
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return err
	}
	if err := s.api.UnblockPIN(ctx, p.Token, payblr.Note{}); err != nil {
		return err
	}
	return s.enqueue(ctx, stockConfirm, queueDefault, p.Token, asynq.Retention(resultKept))
}

// confirm reads the status and writes it as the result. It does the same for a refresh.
func (s *stock) confirm(ctx context.Context, t *asynq.Task) error {
	var p stockPayload
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return err
	}
	st, err := s.api.PINStatus(ctx, p.Token)
	switch {
	case err != nil:
		return err
	case st.Blocked:
		return errors.New("it is still blocked")
	}
	result, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if _, err := t.ResultWriter().Write(result); err != nil {
		return err
	}
	if t.Type() == stockRefresh {
		s.refreshes.Add(1)
		return nil
	}
	s.unblocks.Add(1)
	if c, ok := s.waiting.LoadAndDelete(p.Token); ok {
		c.(chan time.Time) <- time.Now()
	}
	return nil
}

func (s *stock) stop(context.Context) error {
	if s.running.Swap(false) {
		s.server.Shutdown()
	}
	return nil
}

func (s *stock) ended() (unblocks, refreshes int) {
	return int(s.unblocks.Load()), int(s.refreshes.Load())
}

func (s *stock) asked() *trips { return s.seen }

// verify reads the results where asynq's inspector reads them.
func (s *stock) verify(ctx context.Context, all []card) error {
	return verifyAll(ctx, all, func(c card) error {
		typ, queue := stockConfirm, queueDefault
		if c.refresh {
			typ, queue = stockRefresh, queueLow
		}
		text, err := s.rdb.HGet(ctx, "asynq:{"+queue+"}:t:"+typ+":"+c.token(), "result").Bytes()
		if err != nil {
			return fmt.Errorf("its result: %w", err)
		}
		var st payblr.Status
		if err := json.Unmarshal(text, &st); err != nil || st.Value != payblr.StatusUnblocked {
			return fmt.Errorf("its result is %q", text)
		}
		return nil
	})
}

func (s *stock) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(s.stop(ctx), s.rdb.Close())
}

// silent is a logger for asynq, whose own writes to stderr.
type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}
