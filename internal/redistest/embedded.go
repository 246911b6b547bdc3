package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
)

// Embedded starts the in-process Redis that REDIS_URL=embedded gives, for suites that have to pass on
// it too. The client and the server are closed with the test; other clients can use the URL.
func Embedded(t testing.TB) (client redis.UniversalClient, url string) {
	t.Helper()
	conn, err := redisconn.Open(redisconn.EmbeddedURL, redisconn.Options{})
	if err != nil {
		t.Fatalf("start the embedded Redis: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the embedded Redis: %v", err)
		}
	})
	return conn.Client, conn.EmbeddedURL()
}
