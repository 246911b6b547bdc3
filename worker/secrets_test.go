package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// What must be nowhere. The card is in its record alone.
const (
	secretCanary = "canary-client-secret"
	tokenCanary  = "canary-access-token"
	keyCanary    = "canary-subscription-key"
	bodyCanary   = "canary-upstream-body"
	panicCanary  = "canary-panic"
	cardCanary   = "CANARY946"
)

// leakyAPI fails every call in a way of its own, and repeats all that it was told.
func leakyAPI(t testing.TB) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": tokenCanary, "token_type": "Bearer", "expires_in": 3600})
	})
	statuses := make(chan int, 1000)
	for n := range cap(statuses) {
		statuses <- []int{500, 400, 409, 200, 403, 502, 404, 422}[n%8]
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(<-statuses)
		_, _ = fmt.Fprintf(w, "<html>%s %s %s %s %s\xff</html>", bodyCanary, r.URL.Path, r.Header.Get("Authorization"), secretCanary, keyCanary)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// panickingAPI panics with what it was told, every other time.
type panickingAPI struct {
	API
	turn chan bool
}

func (p panickingAPI) CVVStatus(ctx context.Context, card string) (payblr.Status, error) {
	turn := <-p.turn
	p.turn <- !turn
	if turn {
		panic(panicCanary + card)
	}
	return p.API.CVVStatus(ctx, card)
}

func TestSecrets_AreNowhereAfterEveryKindOfFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	upstream := leakyAPI(t)
	client, err := payblr.New(payblr.Config{
		BaseURL: upstream.URL, TokenURL: upstream.URL + "/token", ClientID: "client",
		ClientSecret: payblr.NewSecret(secretCanary), SubscriptionKey: payblr.NewSecret(keyCanary),
	})
	if err != nil {
		t.Fatalf("payblr.New: %v", err)
	}
	t.Cleanup(client.Close)
	turn := make(chan bool, 1)
	turn <- true
	w := r.work(panickingAPI{client, turn})

	for range 4 {
		for _, kind := range tasks.Kinds() {
			op := r.run(kind, cardCanary, enqueue.ExpiresIn(3*time.Second))
			if op.State != tasks.Failed {
				t.Errorf("%s is %s with an API that only fails", kind, op.State)
			}
		}
	}
	task := r.enqueueTask("pin:unblock", tasks.ByReference(someLease.ID, 1).Encode(), asynq.Queue(tasks.QueueUnblock))
	r.task(tasks.QueueUnblock, task, asynq.TaskStateArchived)
	stop(t, w)

	log := r.log.String()
	if !strings.Contains(log, "operation ended") || !strings.Contains(log, "panic") {
		t.Fatal("the log has not what happened: the test has missed its aim")
	}
	for _, canary := range []string{secretCanary, tokenCanary, keyCanary, bodyCanary, panicCanary, cardCanary} {
		for _, line := range strings.Split(log, "\n") {
			if strings.Contains(line, canary) {
				t.Errorf("%s is in the log: %s", canary, line)
			}
		}
	}
	records := 0
	for place, value := range everything(t, r.rdb) {
		for _, canary := range []string{secretCanary, tokenCanary, keyCanary, bodyCanary, panicCanary} {
			if strings.Contains(place+value, canary) {
				t.Errorf("%s is in Redis: %s = %q", canary, place, value)
			}
		}
		record := strings.HasPrefix(place, "cardworker:{") && strings.Contains(place, "}:op:") && strings.HasSuffix(place, " token")
		if record {
			records++
		} else if strings.Contains(place+value, cardCanary) {
			t.Errorf("the public token is in Redis: %s = %q", place, value)
		}
	}
	if records == 0 {
		t.Error("no record was looked at: the test has missed its aim")
	}
}

// everything reads all of Redis: each value under its key and, where it has one, its field.
func everything(t testing.TB, rdb redis.UniversalClient) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out := map[string]string{}
	fail := func(key string, err error) {
		if err != nil {
			t.Fatalf("read %s: %v", key, err)
		}
	}
	keys := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		kind, err := rdb.Type(ctx, key).Result()
		fail(key, err)
		switch kind {
		case "string":
			out[key], err = rdb.Get(ctx, key).Result()
		case "hash":
			var fields map[string]string
			fields, err = rdb.HGetAll(ctx, key).Result()
			for f, v := range fields {
				out[key+" "+f] = v
			}
		case "list":
			var items []string
			items, err = rdb.LRange(ctx, key, 0, -1).Result()
			out[key] = strings.Join(items, "\n")
		case "set":
			var items []string
			items, err = rdb.SMembers(ctx, key).Result()
			out[key] = strings.Join(items, "\n")
		case "zset":
			var items []string
			items, err = rdb.ZRange(ctx, key, 0, -1).Result()
			out[key] = strings.Join(items, "\n")
		case "stream":
			var msgs []redis.XMessage
			msgs, err = rdb.XRange(ctx, key, "-", "+").Result()
			out[key] = fmt.Sprint(msgs)
		case "none": // It has expired since.
		default:
			t.Fatalf("%s is a %s, which nobody here reads", key, kind)
		}
		fail(key, err)
	}
	fail("the keys", keys.Err())
	return out
}
