package redistest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// sharedDatabases is how many tests can hold a database of the shared server at one time.
const sharedDatabases = 1024

// shared is the server of this test process. It runs while at least one test uses it, so that the
// last test to end leaves no process, directory or goroutine.
var shared struct {
	sync.Mutex
	server *Server
	users  int
	free   []int // databases handed back, flushed
	next   int   // the first database never handed out
}

// Shared gives the test an empty database of its own on a server that tests running at the same
// time share: a client of it, closed at the end of the test, and its URL.
//
// Keys are isolated. Not isolated, because Redis has one per server: pub/sub channels, CONFIG,
// INFO, the script cache, FLUSHALL, CLIENT LIST. A test that touches those uses Start.
func Shared(t testing.TB) (client redis.UniversalClient, url string) {
	t.Helper()
	server, db, err := acquire()
	if err != nil {
		t.Fatalf("start the shared redis-server: %v", err)
	}
	t.Cleanup(func() {
		if err := release(db); err != nil {
			t.Errorf("hand back Redis database %d: %v", db, err)
		}
	})
	own := server.client(db)
	closeWithTest(t, own)
	return own, server.url(db)
}

func acquire() (*Server, int, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "redistest-")
		if err != nil {
			return nil, 0, err
		}
		server, err := start(&Server{}, dir, freePort, []string{"--databases", strconv.Itoa(sharedDatabases)})
		if err != nil {
			_ = os.RemoveAll(dir)
			return nil, 0, err
		}
		shared.server, shared.free, shared.next = server, nil, 0
	}
	db := shared.next
	switch n := len(shared.free); {
	case n > 0:
		db, shared.free = shared.free[n-1], shared.free[:n-1]
	case shared.next == sharedDatabases:
		return nil, 0, fmt.Errorf("all %d databases are in use at the same time", sharedDatabases)
	default:
		shared.next++
	}
	shared.users++
	return shared.server, db, nil
}

func release(db int) error {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users == 0 {
		shared.server.Kill()
		err := os.RemoveAll(shared.server.Dir)
		shared.server = nil
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := shared.server.client(db)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(ctx).Err(); err != nil {
		return err // and nobody gets this database again
	}
	shared.free = append(shared.free, db)
	return nil
}
