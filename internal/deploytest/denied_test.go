package deploytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/cardworker/cardworker/internal/redistest"
)

// password returns the content of a file that deploy/secrets.sh has made.
func password(t testing.TB, secrets, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(secrets, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// as returns a client that is one of the users of deploy/users.acl.
func as(t testing.TB, server *redistest.Server, secrets, user string) *redis.Client {
	t.Helper()
	pass := "any"
	if user != "health" {
		pass = password(t, secrets, user+"/redis_password")
	}
	c := redis.NewClient(&redis.Options{
		Addr: server.Addr, Username: user, Password: pass, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// nothingDenied fails the test when Redis has refused a command, key, channel or login since it was started.
func nothingDenied(t testing.TB, server *redistest.Server) {
	t.Helper()
	entries, err := server.Client(t).ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatalf("ACL LOG: %v", err)
	}
	for _, e := range entries {
		t.Errorf("Redis refused the user %s the %s %s (%s, %d times)", e.Username, e.Reason, e.Object, e.Context, e.Count)
	}
}

func TestUsers_MayNotDoWhatTheyHaveNoNeedTo(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	server := startRedis(t, secrets)
	ctx := t.Context()
	const record = "cardworker:{cw05}:op:cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	everybody := []string{
		"FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET appendonly no", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "MONITOR", "SHUTDOWN",
		"SAVE", "BGREWRITEAOF", "REPLICAOF 127.0.0.1 1", "MIGRATE 127.0.0.1 1 k 0 1", "ACL LIST", "ACL SETUSER producer allkeys", "ACL LOG", "MODULE LIST",
		"CLIENT LIST", "CLIENT KILL TYPE normal", "CLIENT TRACKING on BCAST", "SLOWLOG GET", "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION FLUSH", "PUBSUB CHANNELS", "SWAPDB 0 1",
		"PSUBSCRIBE *", "SUBSCRIBE other", "PUBLISH other x", "GET other", "SET other x", "DEL other", "GET cardworker:other", "SORT asynq:queues", "LATENCY RESET",
		"EVAL return(redis.call('GET','other')) 0", "EVAL return(redis.call('KEYS','*')) 0", "EVAL return(redis.call('FLUSHALL')) 0", "CLUSTER RESET", "CLUSTER FORGET x",
	}
	for user, more := range map[string][]string{
		"worker": {"PSUBSCRIBE cardworker:*"},
		"producer": {
			"INFO", "LRANGE asynq:{unblock}:pending 0 -1", "RPOP asynq:{unblock}:pending", "ZRANGE asynq:{unblock}:lease 0 -1", "HGETALL asynq:{unblock}:other",
			"ZRANGE asynq:{unblock}:archived 0 -1", "GET asynq:{unblock}:processed:2026-11-24", "SMEMBERS asynq:queues", "ZRANGE asynq:servers 0 -1", "ZRANGE asynq:workers 0 -1",
			"ZRANGE cardworker:{cw05}:leased 0 -1", "ZRANGE cardworker:{cw05}:waiting:urgent 0 -1", "XRANGE cardworker:{cw05}:audit - +",
			"HGETALL cardworker:{gate}:state", "SET cardworker:{gate}:probe x", "PUBLISH cardworker:gate x", "PUBLISH asynq:cancel x",
			"PSUBSCRIBE cardworker:*", "PSUBSCRIBE cardworker:{cw??}:op:*", "SET asynq:{unblock}:paused 1",
		},
		"monitor": {
			"HSET " + record + " state succeeded", "HGETALL " + record, "HSET asynq:{unblock}:t:x state pending", "SET asynq:{unblock}:paused 1",
			"DEL asynq:{unblock}:pending", "LPUSH asynq:{unblock}:pending x", "ZADD asynq:{unblock}:scheduled 1 x", "PUBLISH asynq:cancel x", "SUBSCRIBE asynq:cancel",
			"EVAL return(redis.call('SET',KEYS[1],'x')) 1 asynq:{unblock}:paused", "EXPIRE asynq:queues 1",
		},
		"operator": {"HSET " + record + " state succeeded", "HGETALL " + record, "PUBLISH cardworker:bell:unblock x", "SUBSCRIBE asynq:cancel"},
		"health":   {"INFO", "SET k v", "GET " + record, "ECHO x", "SELECT 1"},
	} {
		c := as(t, server, secrets, user)
		if err := c.Ping(ctx).Err(); err != nil {
			t.Errorf("PING as %s: %v", user, err)
		}
		for _, command := range append(everybody, more...) {
			var args []any
			for word := range strings.FieldsSeq(command) {
				args = append(args, word)
			}
			if err := c.Do(ctx, args...).Err(); err == nil || !refusal(err) {
				t.Errorf("%s as %s: %v, want it refused", command, user, err)
			}
		}
	}
	if err := server.Client(t).HSet(ctx, record, "state", "running").Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := as(t, server, secrets, "producer").HGet(ctx, record, "state").Result(); err != nil || got != "running" {
		t.Errorf("a producer that knows the id reads %q, %v, want what is in the record", got, err)
	}
}

// refusal tells whether Redis says that a user may not do something, also from inside of a script.
func refusal(err error) bool {
	return strings.HasPrefix(err.Error(), "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't")
}

func TestUsers_WithoutANameThereIsNoWayIn(t *testing.T) {
	t.Parallel()
	server := startRedis(t, newSecrets(t))
	for name, o := range map[string]redis.Options{
		"no password":           {},
		"an empty password":     {Username: "default"},
		"default, any password": {Username: "default", Password: "any"},
		"worker, no password":   {Username: "worker", Password: "#"},
	} {
		o.Addr, o.DisableIdentity = server.Addr, true
		c := redis.NewClient(&o)
		if err := c.Ping(t.Context()).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") && !strings.HasPrefix(err.Error(), "WRONGPASS") {
			t.Errorf("%s: PING = %v, want that it is refused", name, err)
		}
		_ = c.Close()
	}
}
