package deploytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/hibiken/asynq"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/tasks"
)

// patience bounds every wait. It is for a machine that is busy with something else.
const patience = 90 * time.Second

// with returns a service with another command, where there is one, and with some variables set.
func with(s types.ServiceConfig, command []string, variables map[string]string) types.ServiceConfig {
	environment := types.MappingWithEquals{}
	for name, value := range s.Environment {
		environment[name] = value
	}
	for name, value := range variables {
		environment[name] = &value
	}
	s.Environment = environment
	if command != nil {
		s.Command = command
	}
	return s
}

// TestUsers_AreEnoughForEverything runs what there is under the users of deploy/users.acl, and asks Redis
// whether it has refused anything.
func TestUsers_AreEnoughForEverything(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.start(t, service(t, s.project, "sandbox"))
	settings := map[string]string{"PAYBLR_RATE_LIMIT": "200", "PAYBLR_TIMEOUT": "1s"}
	worker := with(service(t, s.project, "worker"), nil, settings)
	victim := s.start(t, worker)
	elsewhere := host{binary: s.binary, local: s.addresses(t)}
	elsewhere.start(t, worker)
	s.start(t, service(t, s.project, "monitor"))

	t.Run("producers", func(t *testing.T) {
		t.Run("commands", func(t *testing.T) { t.Parallel(); s.commands(t) })
		t.Run("library", func(t *testing.T) { t.Parallel(); s.goPackage(t) })
		t.Run("plain asynq", func(t *testing.T) { t.Parallel(); s.plainAsynq(t) })
	})
	t.Run("a killed worker", func(t *testing.T) { s.recovery(t, victim) })
	t.Run("an outage", func(t *testing.T) { s.outage(t) })
	t.Run("doctor", func(t *testing.T) { s.doctor(t) })
	t.Run("monitor", func(t *testing.T) { s.look(t) })
	t.Run("operator", func(t *testing.T) { s.act(t) })
	nothingDenied(t, s.redis)
}

// commands are what people and scripts do, with the cards that go wrong in every way.
func (s *system) commands(t *testing.T) {
	var all sync.WaitGroup
	for card, want := range map[string]int{
		"100000001": 0, "401000001": 0, "403000001": 3, "404000001": 3, "409000001": 3, "429000001": 0, "503000001": 0,
		"600000001": 0, "601000001": 3, "700000001": 0, "701000001": 0, "702000001": 0, "703000001": 0,
	} {
		all.Go(func() {
			if out, code := s.run(t, "producer", "unblock", "pin", card, "--wait", "--timeout", "60s", "-o", "json"); code != want {
				t.Errorf("unblock pin %s: exit code %d, want %d: %s", card, code, want, out)
			}
		})
	}
	all.Go(func() {
		args := []string{"refresh", "cvv", "--wait", "-o", "json"}
		for n := range 20 {
			args = append(args, fmt.Sprintf("2000000%02d", n))
		}
		if _, code := s.run(t, "producer", args...); code != 0 {
			t.Errorf("refresh cvv of many: exit code %d, want 0", code)
		}
	})
	all.Go(func() {
		for range 2 {
			if _, code := s.run(t, "producer", "unblock", "cvv", "100000002", "--idempotency-key", "tap-1", "--wait"); code != 0 {
				t.Errorf("unblock cvv with a key: exit code %d, want 0", code)
			}
		}
		if _, code := s.run(t, "producer", "unblock", "pin", "100000002", "--idempotency-key", "tap-1"); code != 2 {
			t.Errorf("unblock pin with a key that is taken: exit code %d, want 2", code)
		}
	})
	all.Wait()
}

// doctor looks as those who may look at the queues.
func (s *system) doctor(t *testing.T) {
	for name, args := range map[string][]string{"worker": {"doctor"}, "monitor": {"doctor", "redis", "workers"}} {
		out, code := s.run(t, name, args...)
		if code != 0 || strings.Contains(out, "may not") || strings.Contains(out, "refused") || !strings.Contains(out, "ok       workers        running: ") {
			t.Errorf("as %s the doctor ends with %d, want it to see workers: %s", name, code, out)
		}
	}
}

// producer returns the library's client, as an app backend has it.
func (s *system) producer(t testing.TB) (*enqueue.Client, *redisconn.Conn) {
	t.Helper()
	conn, err := redisconn.Open("redis://producer@"+s.redis.Addr+"/0", redisconn.Options{Password: password(t, s.secrets, "producer/redis_password")})
	if err != nil {
		t.Fatal(err)
	}
	client, err := enqueue.New(conn.Client, enqueue.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
	})
	return client, conn
}

func (s *system) goPackage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, conn := s.producer(t)
	acc, err := client.UnblockCVV(ctx, "403000002", enqueue.IdempotencyKey("tap-2"))
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	for range 2 {
		for _, err := range client.Watch(ctx, acc.ID) {
			if err != nil {
				t.Errorf("watch: %v", err)
			}
		}
		op, err := client.Wait(ctx, acc.ID)
		if err != nil || op.State != tasks.Failed {
			t.Errorf("wait = %+v, %v, want that it failed", op, err)
		}
		if _, err := client.Retry(ctx, acc.ID); err != nil {
			t.Errorf("retry: %v", err)
		}
	}
	if op, err := client.Wait(ctx, acc.ID); err != nil || op.State != tasks.Failed {
		t.Errorf("wait = %+v, %v, want that it failed again", op, err)
	}
	durable, err := enqueue.New(conn.Client, enqueue.Config{Durability: enqueue.OnReplica})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = durable.Close() }()
	if err := durable.CheckDurability(ctx); !errors.Is(err, enqueue.ErrNotDurable) {
		t.Errorf("CheckDurability = %v, want that there is no replica", err)
	}
}

// plainAsynq is the producer of docs/CONTRACT.md, which has no library of ours.
func (s *system) plainAsynq(t *testing.T) {
	_, conn := s.producer(t)
	payload := fmt.Sprintf(`{"version":1,"public_token":"100000003","expires_at":%q}`, time.Now().Add(time.Minute).Format(time.RFC3339))
	_, err := asynq.NewClientFromRedisClient(conn.Client).EnqueueContext(t.Context(), asynq.NewTask("pin:unblock", []byte(payload)),
		asynq.Queue("unblock"), asynq.TaskID("plain"), asynq.MaxRetry(25), asynq.Retention(time.Hour))
	if err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	inspector := asynq.NewInspectorFromRedisClient(conn.Client)
	s.eventually(t, "a result", func() bool {
		info, err := inspector.GetTaskInfo("unblock", "plain")
		if err != nil {
			t.Fatalf("look the task up: %v", err)
		}
		return len(info.Result) > 0
	})
}

// recovery kills one worker in the midst of calls that are never answered; the other goes on.
func (s *system) recovery(t *testing.T, victim *running) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, _ := s.producer(t)
	var ids []string
	for n := range 20 {
		acc, err := client.UnblockPIN(ctx, fmt.Sprintf("7030001%02d", n))
		if err != nil {
			t.Fatalf("accept: %v", err)
		}
		ids = append(ids, acc.ID)
	}
	for op, err := range client.Watch(ctx, ids[len(ids)-1]) {
		if err != nil {
			t.Fatalf("watch: %v", err)
		}
		if op.State != tasks.Accepted {
			break
		}
	}
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if op, err := client.Wait(ctx, id); err != nil || op.State != tasks.Succeeded {
			t.Errorf("wait = %+v, %v, want that it succeeded", op, err)
		}
	}
}

// outage has the gate close, probe and open again, and operations expire.
func (s *system) outage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, _ := s.producer(t)
	var ids []string
	for n := range 60 {
		acc, err := client.RefreshPINStatus(ctx, fmt.Sprintf("5000000%02d", n), enqueue.ExpiresIn(3*time.Second))
		if err != nil {
			t.Fatalf("accept: %v", err)
		}
		ids = append(ids, acc.ID)
	}
	s.eventually(t, "an open breaker", func() bool {
		return s.redis.Client(t).HExists(ctx, "cardworker:{gate}:state", "open_until").Val()
	})
	for _, id := range ids {
		if op, err := client.Wait(ctx, id); err != nil || op.State != tasks.Failed {
			t.Errorf("wait = %+v, %v, want that it failed", op, err)
		}
	}
}

// call makes one call to a monitor.
func (s *system) call(t testing.TB, method, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password(t, s.secrets, "monitor/password"))
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s %s: %s %.200s", method, url, res.Status, body)
	}
}

// look opens every page of the monitor.
func (s *system) look(t *testing.T) {
	base := s.local.Replace("http://127.0.0.1:8081")
	for _, path := range []string{"/", "/api/queues", "/api/queue_stats", "/api/servers", "/api/scheduler_entries", "/api/redis_info"} {
		s.call(t, http.MethodGet, base+path)
	}
	for _, queue := range []string{"confirm", "unblock", "refresh"} {
		s.call(t, http.MethodGet, base+"/api/queues/"+queue)
		s.call(t, http.MethodGet, base+"/api/queues/"+queue+"/groups")
		for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
			s.call(t, http.MethodGet, base+"/api/queues/"+queue+"/"+state+"_tasks")
		}
	}
	s.call(t, http.MethodGet, base+"/api/queues/unblock/tasks/plain")
}

// act is the monitor with --allow-actions, as the user operator.
func (s *system) act(t *testing.T) {
	elsewhere := host{binary: s.binary, local: s.addresses(t)}
	elsewhere.start(t, with(service(t, s.project, "monitor"), []string{"monitor", "--allow-actions"}, map[string]string{
		"REDIS_URL":           "redis://operator@redis:6379/0",
		"REDIS_PASSWORD_FILE": secretsDir + "/operator/redis_password",
	}))
	queue := elsewhere.local.Replace("http://127.0.0.1:8081/api/queues/refresh")
	s.call(t, http.MethodPost, queue+":pause")
	client, _ := s.producer(t)
	for n := range 3 {
		if _, err := client.RefreshPINStatus(t.Context(), fmt.Sprintf("2000001%02d", n)); err != nil {
			t.Fatalf("accept: %v", err)
		}
	}
	later := asynq.NewClientFromRedisClient(as(t, s.redis, s.secrets, "worker"))
	for n := range 3 {
		task := asynq.NewTask("pin:status", []byte(`{"version":1}`))
		if _, err := later.EnqueueContext(t.Context(), task, asynq.Queue("refresh"), asynq.TaskID(fmt.Sprint("later", n)), asynq.ProcessIn(time.Hour)); err != nil {
			t.Fatalf("enqueue for later: %v", err)
		}
	}
	for _, action := range []string{
		"POST /pending_tasks:archive_all", "POST /archived_tasks:run_all", "POST /scheduled_tasks/later0:run", "POST /pending_tasks/later0:archive",
		"POST /scheduled_tasks/later1:archive", "DELETE /archived_tasks/later1", "POST /scheduled_tasks:run_all", "POST /active_tasks:cancel_all",
		"POST /retry_tasks:run_all", "POST /retry_tasks:archive_all", "DELETE /retry_tasks:delete_all", "DELETE /completed_tasks:delete_all",
		"DELETE /archived_tasks:delete_all", "DELETE /pending_tasks:delete_all", "DELETE /scheduled_tasks:delete_all", "POST :resume",
	} {
		method, path, _ := strings.Cut(action, " ")
		s.call(t, method, queue+path)
	}
}

// eventually asks until the answer is yes.
func (s *system) eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("there is not %s after %s", what, patience)
		}
	}
}
