package redisconn_test

import (
	"testing"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil) // the tests provoke what go-redis complains about
	redistest.Main(m)
}

// open is Open for a URL that is right, closed with the test.
func open(t testing.TB, url string, o redisconn.Options) *redisconn.Conn {
	t.Helper()
	conn, err := redisconn.Open(url, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return conn
}

// impatient keeps the tests of unreachable servers short.
var impatient = redisconn.Options{MaxRetries: -1}
