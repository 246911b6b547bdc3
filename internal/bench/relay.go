package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// relay stands between clients and a server and delivers everything a fixed time later, in both directions.
// It limits no rate: any amount may be under way, and no connection waits for another.
//
// What was read is stamped with the time when it is due. As the delay is the same for all, what is read first is
// due first, so that one goroutine can wait for all of it; it alone has to be woken precisely. What is due goes
// to the writer of its connection, so that one which is not read does not hold up the others.
type relay struct {
	listener net.Listener
	target   string
	delay    time.Duration
	travels  chan travelling
	cancel   context.CancelFunc
	ctx      context.Context // ends with the relay, not with a call
	running  sync.WaitGroup
}

// travelling is a piece of a connection's bytes under way, or its end.
type travelling struct {
	due  time.Time
	data []byte // nil is the end
	to   chan []byte
}

const (
	relayChunk = 32 << 10
	// relayQueue is how many pieces may be under way. It is more than there can be round trips in a delay.
	relayQueue = 1 << 16
)

// startRelay relays connections to target.
func startRelay(ctx context.Context, target string, delay time.Duration) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, target: target, delay: delay, travels: make(chan travelling, relayQueue)}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(r.deliver)
	r.running.Go(r.accept)
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// stop ends all connections.
func (r *relay) stop() {
	r.cancel()
	_ = r.listener.Close()
	r.running.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			if r.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		r.running.Go(func() { r.connect(client) })
	}
}

// connect joins a client to the server until either closes.
func (r *relay) connect(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(r.ctx, "tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(r.ctx, func() { _ = client.Close(); _ = server.Close() })
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		due := make(chan []byte, relayQueue>>6)
		both.Go(func() { r.read(way[0], due) })
		both.Go(func() { r.write(way[1], due) })
	}
	both.Wait()
}

// read sends what comes from a connection on its way.
func (r *relay) read(from io.Reader, to chan []byte) {
	for {
		data := make([]byte, relayChunk)
		n, err := from.Read(data)
		due := time.Now().Add(r.delay)
		if n > 0 {
			r.send(travelling{due, data[:n:n], to})
		}
		if err != nil {
			r.send(travelling{due, nil, to})
			return
		}
	}
}

func (r *relay) send(t travelling) {
	select {
	case r.travels <- t:
	case <-r.ctx.Done():
	}
}

// deliver hands over what is due.
func (r *relay) deliver() {
	defer precise()()
	for {
		select {
		case <-r.ctx.Done():
			return
		case t := <-r.travels:
			for left := time.Until(t.due); left > 0; left = time.Until(t.due) {
				pause(left)
			}
			select {
			case t.to <- t.data:
			case <-r.ctx.Done():
				return
			}
		}
	}
}

// write writes what is due to a connection until its end.
func (r *relay) write(to net.Conn, due <-chan []byte) {
	defer func() {
		// The other direction ends as well: a client that has closed reads no more.
		_ = to.Close()
	}()
	broken := false
	for {
		select {
		case <-r.ctx.Done():
			return
		case data := <-due:
			if data == nil {
				return
			}
			if !broken {
				_, err := to.Write(data)
				broken = err != nil // What follows is for nobody.
			}
		}
	}
}
