package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// sentinelCount is the smallest number of sentinels that survives the loss of one.
const sentinelCount = 3

// Sentinel is a primary with one replica, watched by three sentinels with a quorum of two.
type Sentinel struct {
	// Name is the name under which the sentinels know the primary.
	Name string
	// Primary and Replica are the roles at the start; a failover swaps them.
	Primary, Replica *Server
	// Addrs are the addresses of the sentinels.
	Addrs []string
}

// StartSentinel returns once the replica is in sync and every sentinel sees the primary, the replica
// and its two peers. The sentinels call the primary down after 1 s without an answer, so that a
// failover test takes a few seconds, not half a minute.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{Name: "mymaster"}
	// Diskless with no delay: the first synchronisation takes milliseconds instead of 5 s.
	s.Primary = Start(t, "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
	s.Replica = Start(t, "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
		"--replicaof", "127.0.0.1", strconv.Itoa(s.Primary.Port()))
	if err := s.awaitReplica(); err != nil {
		t.Fatalf("start a replica: %v", err)
	}
	for range sentinelCount {
		addr, stop, err := startSentinelProcess(t.TempDir(), s.Name, s.Primary.Port())
		if err != nil {
			t.Fatalf("start a sentinel: %v", err)
		}
		t.Cleanup(stop)
		s.Addrs = append(s.Addrs, addr)
	}
	if err := s.awaitQuorum(); err != nil {
		t.Fatalf("form a group of %d sentinels: %v", sentinelCount, err)
	}
	return s
}

// URL is the REDIS_URL of database 0 of whoever is the primary.
func (s *Sentinel) URL() string {
	return fmt.Sprintf("redis-sentinel://%s/%s/0", strings.Join(s.Addrs, ","), s.Name)
}

// Client returns a client that follows the primary, closed when the test ends.
func (s *Sentinel) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            s.Name,
		SentinelAddrs:         s.Addrs,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true,
	})
	closeWithTest(t, client)
	return client
}

func (s *Sentinel) awaitReplica() error {
	client := s.Replica.client(0)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return poll(ctx, func(ctx context.Context) error {
		info, err := client.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New("the replica is not in sync")
		}
		return err
	})
}

func (s *Sentinel) awaitQuorum() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, addr := range s.Addrs {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true, ContextTimeoutEnabled: true})
		err := poll(ctx, func(ctx context.Context) error {
			primary, err := sentinel.Master(ctx, s.Name).Result()
			if err != nil {
				return err
			}
			if peers, replicas := primary["num-other-sentinels"], primary["num-slaves"]; peers != strconv.Itoa(sentinelCount-1) || replicas != "1" {
				return fmt.Errorf("%s sees %s other sentinels and %s replicas", addr, peers, replicas)
			}
			return nil
		})
		_ = sentinel.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// startSentinelProcess runs one sentinel. It rewrites its configuration while it runs, so that comes
// from a file.
func startSentinelProcess(dir, name string, primary int) (addr string, stop func(), err error) {
	for range startAttempts {
		var port int
		if port, err = freePort(); err != nil {
			return "", nil, err
		}
		file := filepath.Join(dir, "sentinel.conf")
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n"+
			"sentinel monitor %[3]s 127.0.0.1 %[4]d 2\n"+
			"sentinel down-after-milliseconds %[3]s 1000\n"+
			"sentinel failover-timeout %[3]s 3000\n"+
			"sentinel parallel-syncs %[3]s 1\n", port, dir, name, primary)
		if err = os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return "", nil, err
		}
		var p *process
		if p, err = startProcess(filepath.Join(dir, "redis.log"), nil, []string{file, "--sentinel"}); err != nil {
			return "", nil, err
		}
		client := redis.NewClient(&redis.Options{Addr: addrOf(port), DisableIdentity: true, ContextTimeoutEnabled: true})
		err = p.await(func(ctx context.Context) error { return client.Ping(ctx).Err() })
		_ = client.Close()
		if err == nil {
			return addrOf(port), sync.OnceFunc(func() { p.end(syscall.SIGKILL) }), nil
		}
		p.end(syscall.SIGKILL)
		if !errors.Is(err, errPortTaken) {
			return "", nil, err
		}
	}
	return "", nil, err
}
