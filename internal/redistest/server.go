// Package redistest starts real redis-server processes for tests.
//
// Every server listens on a free loopback port, keeps its files in a directory that goes
// with the test, writes nothing to disk unless asked to, and is killed and reaped at the end
// of the test that started it. On Linux the kernel also kills it when the test process dies,
// so that an aborted run leaves nothing behind.
//
// Start gives a test a server of its own (StartAs one with ACL users, StartTLS one that speaks TLS), Shared a database of its own on a server that it
// shares with the tests that run at the same time (cheaper; see there for what is not isolated),
// StartCluster and StartSentinel the two distributed set-ups, and Embedded the in-process Redis.
package redistest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// startAttempts is how often another port is tried when somebody took the chosen one between the moment
// it was found free and the moment the server bound it.
const startAttempts = 5

// Server is one redis-server process.
//
// Addr and Password never change, also over Restart. The methods may be called from several
// goroutines, but a Restart that overlaps a Stop or Kill has no defined winner.
type Server struct {
	// Addr is "127.0.0.1:port".
	Addr string
	// User is who the URL and the clients log in as, "" for the default user.
	User string
	// Password is the value of --requirepass, or the password of User; "" when there is none.
	Password string
	// Dir is the working directory: the AOF, the RDB file and redis.log are here.
	Dir string

	args []string
	env  []string  // beyond that of this process
	tls  *tlsFiles // nil when it speaks plain

	mu      sync.Mutex
	process *process
}

// Start runs a redis-server with args in redis.conf's words, e.g. Start(t, "--appendonly", "yes",
// "--requirepass", "secret"); a later argument wins over the defaults (no RDB, no AOF). It returns
// once the server answers PING, and fails the test when redis-server is not installed.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return begin(t, &Server{Password: valueOf(args, "--requirepass")}, args)
}

// StartAs is Start for a server whose ACL file (--aclfile) gives this user everything, and the default user
// perhaps nothing.
func StartAs(t testing.TB, user, password string, args ...string) *Server {
	t.Helper()
	return begin(t, &Server{User: user, Password: password}, args)
}

func begin(t testing.TB, as *Server, args []string) *Server {
	t.Helper()
	s, err := start(as, t.TempDir(), freePort, args)
	if err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	t.Cleanup(s.Kill)
	return s
}

// URL is the REDIS_URL of database 0 of this server, password included.
func (s *Server) URL() string { return s.url(0) }

// Port is the port of Addr.
func (s *Server) Port() int {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		panic(err) // Addr is made here, from a port number
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	return n
}

// Client returns a client of database 0, closed when the test ends.
func (s *Server) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	client := s.client(0)
	closeWithTest(t, client)
	return client
}

// Stop ends the server in an orderly way (SIGTERM: it saves what its configuration says) and
// returns when the process is gone. Stopping a stopped server does nothing.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL, as a crash would, and returns when the process is gone.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Freeze stops the server in its tracks with SIGSTOP: it keeps its connections and answers nothing. Thaw has
// it go on. Only Kill ends one that is frozen without delay.
func (s *Server) Freeze(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Thaw is the end of a Freeze.
func (s *Server) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		t.Fatalf("send %s to redis-server on %s: it is not running", sig, s.Addr)
	}
	if err := s.process.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("send %s to redis-server on %s: %v", sig, s.Addr, err)
	}
}

// Restart starts a stopped or killed server again: same port, same directory, same arguments. What
// it finds there depends on its persistence arguments; by default that is nothing.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("restart redis-server on %s: %v", s.Addr, err)
	}
}

// start tries ports from pick until one server stays up. as says how to log in, and what is in its environment.
func start(as *Server, dir string, pick func() (int, error), args []string) (*Server, error) {
	var last error
	for range startAttempts {
		port, err := pick()
		if err != nil {
			return nil, err
		}
		s := &Server{Addr: addrOf(port), User: as.User, Password: as.Password, Dir: dir, env: as.env, tls: as.tls}
		s.args = append(s.tls.listen(port),
			"--bind", "127.0.0.1",
			"--dir", dir,
			"--daemonize", "no",
			"--save", "",
			"--appendonly", "no",
		)
		s.args = append(s.args, args...)
		err = s.run()
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("it is already running")
	}
	p, err := startProcess(filepath.Join(s.Dir, "redis.log"), s.env, s.args)
	if err != nil {
		return err
	}
	client := s.client(0)
	defer func() { _ = client.Close() }()

	err = p.await(func(ctx context.Context) error { return client.Ping(ctx).Err() })
	if err != nil {
		p.end(syscall.SIGKILL)
		return err
	}
	s.process = p
	return nil
}

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	s.process.end(signal)
	s.process = nil
}

func (s *Server) url(db int) string {
	u := url.URL{Scheme: "redis", Host: s.Addr, Path: "/" + strconv.Itoa(db)}
	if s.Password != "" {
		u.User = url.UserPassword(s.User, s.Password)
	}
	if s.tls != nil {
		u.Scheme, u.RawQuery = "rediss", s.tls.query()
	}
	return u.String()
}

func (s *Server) client(db int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     s.Addr,
		Username:                 s.User,
		Password:                 s.Password,
		TLSConfig:                s.tls.config(),
		DB:                       db,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// valueOf returns what follows name in args, the last time that it occurs.
func valueOf(args []string, name string) string {
	for i, arg := range slices.Backward(args) {
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// closeWithTest closes the client when the test ends, before the server goes.
func closeWithTest(t testing.TB, client redis.UniversalClient) {
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Errorf("close the Redis client: %v", err)
		}
	})
}
