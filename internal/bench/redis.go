package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
)

const (
	// redisStart bounds the wait for a server's first PONG.
	redisStart = 20 * time.Second
	// redisStop is how long a server may take to end before it is killed.
	redisStop = 5 * time.Second
	// portAttempts is how often another port is tried when somebody took the one that was free.
	portAttempts = 5
)

// errNoRedis says what to install.
var errNoRedis = errors.New("redis-server is not installed; install the redis-server package of your system, or run `make deps`")

// redisServer is a redis-server process of this run.
type redisServer struct {
	addr  string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	admin redis.UniversalClient // past any relay, for what is not measured
	conn  *redisconn.Conn
}

// persistence are the arguments of a redis-server for a way to keep an append-only file.
func persistence(aof string) []string {
	if aof == "off" {
		return []string{"--save", "", "--appendonly", "no"}
	}
	return []string{"--save", "", "--appendonly", "yes", "--appendfsync", aof}
}

// startRedis starts a redis-server on a free port. Whoever gets it stops it.
func startRedis(ctx context.Context, args ...string) (*redisServer, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	for range portAttempts {
		var s *redisServer
		if s, err = launchRedis(ctx, path, args); err == nil || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

func launchRedis(ctx context.Context, path string, args []string) (*redisServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	dir, err := os.MkdirTemp("", "cardworker-bench-")
	if err != nil {
		return nil, err
	}
	s := &redisServer{addr: addr, dir: dir, ended: make(chan struct{})}
	log := filepath.Join(dir, "redis.log")
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, append([]string{ //nolint:gosec // redis-server from the PATH, with arguments of ours
		"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no", "--logfile", log,
	}, args...)...)
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), os.RemoveAll(dir))
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // The exit status of a server that is told to end says nothing.
	}()
	if s.conn, err = redisconn.Open(s.url(), redisconn.Options{}); err == nil {
		s.admin = s.conn.Client
		err = s.await(ctx)
	}
	if err != nil {
		text, _ := os.ReadFile(log)
		return nil, errors.Join(fmt.Errorf("start redis-server: %w\n%s", err, text[max(0, len(text)-1000):]), s.stop())
	}
	return s, nil
}

func (s *redisServer) url() string { return redisURL(s.addr) }

func redisURL(addr string) string { return "redis://" + addr + "/0" }

// await waits for the first answer.
func (s *redisServer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.admin.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("it exited at once")
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// stop ends the server and removes what it wrote.
func (s *redisServer) stop() error {
	var errs []error
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	_ = s.cmd.Process.Signal(os.Interrupt) // It may be gone already, which is what is wanted.
	timer := time.NewTimer(redisStop)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// clear forgets everything, and lets a rewrite of the append-only file that this may start end.
func (s *redisServer) clear(ctx context.Context) error {
	if err := s.admin.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("clear Redis: %w", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		persist, err := s.info(ctx, "persistence")
		if err != nil {
			return err
		}
		if persist["aof_rewrite_in_progress"] != "1" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// info returns a section of INFO.
func (s *redisServer) info(ctx context.Context, section string) (map[string]string, error) {
	text, err := s.admin.Info(ctx, section).Result()
	if err != nil {
		return nil, fmt.Errorf("INFO %s: %w", section, err)
	}
	out := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok {
			out[k] = v
		}
	}
	return out, nil
}

// served is how many commands the server has run, those inside scripts included: by its own count, and by
// that of each command. The two differ by commands that failed or were refused.
func (s *redisServer) served(ctx context.Context) (total, sum int64, err error) {
	stats, err := s.info(ctx, "stats")
	if err != nil {
		return 0, 0, err
	}
	if total, err = strconv.ParseInt(stats["total_commands_processed"], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("INFO stats: %w", err)
	}
	each, err := s.info(ctx, "commandstats")
	if err != nil {
		return 0, 0, err
	}
	for name, v := range each {
		var calls int64
		if _, err := fmt.Sscanf(v, "calls=%d", &calls); err != nil {
			return 0, 0, fmt.Errorf("INFO commandstats: %s: %w", name, err)
		}
		sum += calls
	}
	return total, sum, nil
}

// addrOrNone is the server's address, or none of no server.
func (s *redisServer) addrOrNone() string {
	if s == nil {
		return ""
	}
	return s.addr
}
