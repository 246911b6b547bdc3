package faults

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// tap copies every command that a server runs, as MONITOR shows them.
type tap struct {
	conn  net.Conn
	begun chan struct{} // closed once the server has said that it shows them
	done  chan struct{}
	once  sync.Once
	buf   bytes.Buffer // of the copying goroutine until done is closed
}

// tapWithin bounds how long a server may take to begin and to end to show its commands.
const tapWithin = 10 * time.Second

// watchCommands taps every server anew. A tap ends with its server.
func (r *run) watchCommands() {
	r.t.Helper()
	for _, s := range r.backend.servers {
		conn, err := net.Dial("tcp", s.Addr) //nolint:noctx // On loopback it is there at once or not at all.
		if err == nil {
			_, err = io.WriteString(conn, "MONITOR\r\n")
		}
		if err != nil {
			r.t.Errorf("watch the commands of Redis: %v", err)
			return
		}
		tp := &tap{conn: conn, begun: make(chan struct{}), done: make(chan struct{})}
		go tp.copy()
		r.t.Cleanup(func() { tp.stop() })
		select {
		case <-tp.begun:
		case <-tp.done:
		case <-time.After(tapWithin):
			r.t.Errorf("Redis did not begin to show its commands within %s", tapWithin)
		}
		r.taps = append(r.taps, tp)
	}
}

// copy returns when the server or the tap ends.
func (tp *tap) copy() {
	defer close(tp.done)
	const ok = "+OK\r\n"
	if _, err := io.CopyN(&tp.buf, tp.conn, int64(len(ok))); err != nil {
		return
	}
	close(tp.begun)
	_, _ = io.Copy(&tp.buf, tp.conn)
}

// stopTaps is for scenarios that have Redis serve gigabytes: to be listened to would slow it down.
func (r *run) stopTaps() {
	for _, tp := range r.taps {
		tp.stop()
	}
}

// stop ends the tap and returns what it saw, up to the last command that was answered before.
func (tp *tap) stop() []byte {
	tp.once.Do(func() {
		// The server closes its side when it sees that ours is, and what it has sent until then is read.
		if half, ok := tp.conn.(*net.TCPConn); ok {
			_ = half.CloseWrite() // The server may have gone.
		}
		_ = tp.conn.SetReadDeadline(time.Now().Add(tapWithin))
		<-tp.done
		_ = tp.conn.Close()
	})
	return tp.buf.Bytes()
}
