package deploytest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

// startRedis runs a server with deploy/redis.conf and the users made of deploy/users.acl, except for where it
// listens and writes. The test is admin.
func startRedis(t testing.TB, secrets string) *redistest.Server {
	t.Helper()
	var kept strings.Builder
	for line := range strings.Lines(read(t, "deploy/redis.conf")) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains([]string{"bind", "port", "dir"}, name) {
			kept.WriteString(line)
		}
	}
	file := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(file, []byte(kept.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return redistest.StartAs(t, "admin", password(t, secrets, "redis/admin_password"),
		"--include", file, "--aclfile", filepath.Join(secrets, "redis/users.acl"))
}

func TestRedisConf_KeepsWhatWasAccepted(t *testing.T) {
	t.Parallel()
	server := startRedis(t, newSecrets(t))
	client := server.Client(t)
	for name, want := range map[string]string{
		"appendonly":       "yes",
		"appendfsync":      "everysec",
		"save":             "",
		"maxmemory-policy": "noeviction",
		"maxmemory":        "268435456",
	} {
		got, err := client.ConfigGet(t.Context(), name).Result()
		if err != nil {
			t.Fatalf("CONFIG GET %s: %v", name, err)
		}
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if warnings, err := redisconn.Check(t.Context(), client); err != nil || len(warnings) > 0 {
		t.Errorf("Check = %v, %v, want nothing to complain about", warnings, err)
	}

	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatalf("SET: %v", err)
	}
	server.Stop()
	server.Restart(t)
	if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("GET after a restart = %q, %v, want what was written", got, err)
	}
}

func TestRedisConf_LeavesMemoryForTheRewrite(t *testing.T) {
	t.Parallel()
	const maxmemory = 256 << 20 // as the test above asserts
	if limit := int64(service(t, load(t), "redis").MemLimit); limit < 2*maxmemory {
		t.Errorf("mem_limit of redis = %d, want at least twice its maxmemory", limit)
	}
}
