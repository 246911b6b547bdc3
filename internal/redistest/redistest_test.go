package redistest_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
)

// set writes one key and fails the test when that does not work.
func set(t testing.TB, client redis.UniversalClient, key string) {
	t.Helper()
	if err := client.Set(t.Context(), key, "1", 0).Err(); err != nil {
		t.Fatalf("SET %s: %v", key, err)
	}
}

// exists returns how many of the keys there are.
func exists(t testing.TB, client redis.UniversalClient, keys ...string) int64 {
	t.Helper()
	n, err := client.Exists(t.Context(), keys...).Result()
	if err != nil {
		t.Fatalf("EXISTS %v: %v", keys, err)
	}
	return n
}

// assertGone fails when somebody still listens on addr.
func assertGone(t testing.TB, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
		t.Errorf("a server still listens on %s", addr)
	}
}

func TestStart_IsGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	var addr string
	t.Run("inner", func(t *testing.T) {
		s := redistest.Start(t)
		addr = s.Addr
		set(t, s.Client(t), "k")
	})
	assertGone(t, addr)
}

func TestStart_PasswordIsInTheURLAndNeeded(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--requirepass", "p@ss/word")
	set(t, s.Client(t), "k")

	o, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatalf("ParseURL: %v", err)
	}
	if o.Password != s.Password || s.Password != "p@ss/word" {
		t.Errorf("the URL gives password %q and the server %q, want p@ss/word", o.Password, s.Password)
	}

	stranger := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer func() { _ = stranger.Close() }()
	if err := stranger.Ping(t.Context()).Err(); !redis.IsAuthError(err) {
		t.Errorf("PING without the password = %v, want NOAUTH", err)
	}
}

func TestServer_RestartKeepsAddressAndWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		end  func(*redistest.Server)
		want int64
	}{
		{"no persistence", nil, (*redistest.Server).Stop, 0},
		{"AOF always survives SIGKILL", []string{"--appendonly", "yes", "--appendfsync", "always"}, (*redistest.Server).Kill, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, test.args...)
			client := s.Client(t)
			set(t, client, "k")
			test.end(s)
			assertGone(t, s.Addr)
			test.end(s) // ending twice is fine
			s.Restart(t)
			if got := exists(t, client, "k"); got != test.want {
				t.Errorf("keys after the restart = %d, want %d", got, test.want)
			}
		})
	}
}

func TestShared_TestsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	first, firstURL := redistest.Shared(t)
	second, secondURL := redistest.Shared(t)
	if firstURL == secondURL {
		t.Fatalf("both databases have the URL %s", firstURL)
	}
	set(t, first, "k")
	if got := exists(t, second, "k"); got != 0 {
		t.Errorf("keys of the first database in the second = %d, want 0", got)
	}

	o, err := redis.ParseURL(firstURL)
	if err != nil {
		t.Fatalf("ParseURL(%s): %v", firstURL, err)
	}
	viaURL := redis.NewClient(o)
	defer func() { _ = viaURL.Close() }()
	if got := exists(t, viaURL, "k"); got != 1 {
		t.Errorf("keys seen through the URL = %d, want 1", got)
	}
}

func TestShared_DatabaseComesBackEmpty(t *testing.T) {
	t.Parallel()
	redistest.Shared(t) // keeps the server up between the two below
	var used []string
	for range 3 {
		t.Run("user", func(t *testing.T) {
			client, url := redistest.Shared(t)
			used = append(used, url)
			if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Errorf("DBSIZE = %d, %v, want an empty database", n, err)
			}
			set(t, client, "left behind")
		})
	}
	if len(used) != 3 {
		t.Fatalf("databases used = %v, want 3", used)
	}
}

func TestStartCluster_ServesEverySlot(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	client := c.Client(t)
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		set(t, client, key)
	}
	var with int
	for _, node := range c.Nodes {
		n, err := node.Client(t).DBSize(t.Context()).Result()
		if err != nil {
			t.Fatalf("DBSIZE of %s: %v", node.Addr, err)
		}
		if n > 0 {
			with++
		}
	}
	if with < 2 {
		t.Errorf("nodes that hold keys = %d, want the keys spread", with)
	}
}

func TestStartSentinel_ClientFollowsTheNewPrimary(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	client := s.Client(t)
	set(t, client, "before")
	if n, err := client.Do(t.Context(), "WAIT", 1, 5000).Int(); err != nil || n != 1 {
		t.Fatalf("WAIT = %d, %v, want the replica to have the key", n, err)
	}
	s.Primary.Kill()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := client.Set(ctx, "after", "1", 0).Err()
		if err == nil {
			break
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Fatalf("no write succeeded after the failover, last error: %v", err)
		}
	}
	if got := exists(t, s.Replica.Client(t), "before", "after"); got != 2 {
		t.Errorf("keys on the former replica = %d, want 2", got)
	}
}

func TestEmbedded_AnswersOnItsURL(t *testing.T) {
	t.Parallel()
	client, url := redistest.Embedded(t)
	set(t, client, "k")
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("ParseURL(%s): %v", url, err)
	}
	other := redis.NewClient(o)
	defer func() { _ = other.Close() }()
	if got := exists(t, other, "k"); got != 1 {
		t.Errorf("keys seen through the URL = %d, want 1", got)
	}
}

func TestStart_WithoutRedisSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", filepath.Join(t.TempDir(), "empty"))
	fake := &fatal{TB: t}
	done := make(chan struct{})
	go func() { // Fatalf ends its goroutine
		defer close(done)
		redistest.Start(fake)
	}()
	<-done
	const want = "redis-server is not installed: run `make deps`"
	if !strings.Contains(fake.message, want) {
		t.Errorf("Fatalf said %q, want %q in it", fake.message, want)
	}
}
