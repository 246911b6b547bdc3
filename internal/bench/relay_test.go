package bench

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echo answers everything with itself.
func echo(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

func relayed(t testing.TB, delay time.Duration) net.Conn {
	t.Helper()
	r, err := startRelay(t.Context(), echo(t), delay)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); r.stop() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRelay_DelaysEachDirection looks at the quickest of many, which a busy machine holds up least.
func TestRelay_DelaysEachDirection(t *testing.T) {
	t.Parallel()
	const delay = 500 * time.Microsecond
	c := relayed(t, delay)
	quickest := time.Hour
	b := make([]byte, 1)
	for range 200 {
		start := time.Now()
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		if took < 2*delay {
			t.Fatalf("there and back in %s, want at least %s", took, 2*delay)
		}
		quickest = min(quickest, took)
	}
	if quickest > 2*delay+delay/2 {
		t.Errorf("the quickest of 200 took %s, want little more than %s", quickest, 2*delay)
	}
}

// TestRelay_LimitsNoRate sends more at once than could pass if each piece waited for the one before.
func TestRelay_LimitsNoRate(t *testing.T) {
	t.Parallel()
	const delay = 20 * time.Millisecond
	c := relayed(t, delay)
	const size = 8 << 20 // at least 256 pieces, 10 s one after the other
	go func() {
		_, _ = c.Write(make([]byte, size))
	}()
	start := time.Now()
	if n, err := io.CopyN(io.Discard, c, size); err != nil {
		t.Fatalf("%d of %d bytes came back: %v", n, size, err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("%d bytes took %s: they waited for each other", size, took)
	}
}

func TestRelay_EndsWithItsServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := startRelay(t.Context(), l.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	client, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(client); err != nil || string(text) != "last words" {
		t.Errorf("the client read %q, %v, want the last words and the end", text, err)
	}
}
