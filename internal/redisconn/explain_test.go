package redisconn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

const canary = "c4n4ry"

// TestCheck_FailureIsOneSentence provokes every failure that a real server, or none, can give.
func TestCheck_FailureIsOneSentence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		url    func(testing.TB) string
		want   redisconn.Kind
		advice string
	}{
		{"nobody listens", func(t testing.TB) string { return "redis://:" + canary + "@" + deadAddr(t) }, redisconn.Refused, "start Redis"},
		{"nobody answers", func(t testing.TB) string { return "redis://" + silentAddr(t) + "?read_timeout=100ms" }, redisconn.Timeout, "not overloaded"},
		{"no such host", func(testing.TB) string { return "redis://no-such-host.invalid" }, redisconn.UnknownHost, "host name"},
		{"no password", func(t testing.TB) string {
			return strings.Replace(redistest.Start(t, "--requirepass", canary).URL(), ":"+canary+"@", "", 1)
		}, redisconn.AuthRequired, "redis://:PASSWORD@host"},
		{"wrong password", func(t testing.TB) string {
			return strings.Replace(redistest.Start(t, "--requirepass", "right").URL(), "right", canary, 1)
		}, redisconn.WrongPassword, "user name or the password"},
		{"user without rights", forbidden, redisconn.Forbidden, "ACL"},
		{"replica", replica, redisconn.ReadOnly, "primary"},
		{"node of a cluster", func(t testing.TB) string { return redistest.StartCluster(t, 1).Nodes[0].URL() }, redisconn.ClusterServer, "redis-cluster://"},
		{"no cluster", func(t testing.TB) string {
			return strings.Replace(redistest.Start(t).URL(), "redis://", "redis-cluster://", 1)
		}, redisconn.NotACluster, "redis://"},
		{"sentinel as a server", func(t testing.TB) string { return "redis://" + redistest.StartSentinel(t).Addrs[0] }, redisconn.SentinelServer, "redis-sentinel://"},
		{"no such database", func(t testing.TB) string { return "redis://" + redistest.Start(t).Addr + "/99" }, redisconn.NoDatabase, "change the one at the end of the URL"},
		{"no sentinels", func(t testing.TB) string { return "redis-sentinel://" + deadAddr(t) + "/mymaster" }, redisconn.NoPrimary, "that one is up: 127.0.0.1:"},
		{"unknown primary", func(t testing.TB) string {
			return strings.Replace(redistest.StartSentinel(t).URL(), "mymaster", "other", 1)
		}, redisconn.NoPrimary, ": knows no primary of this name"},
		{"web server", func(t testing.TB) string { return "redis://" + webAddr(t) }, redisconn.NotRedis, "not Redis"},
		{"TLS to a plain port", func(t testing.TB) string {
			_, url := redistest.Shared(t)
			return strings.Replace(url, "redis:", "rediss:", 1) + "?dial_timeout=200ms"
		}, redisconn.Timeout, "then use redis://"},
		{"too old", func(t testing.TB) string { return "redis://" + oldAddr(t) }, redisconn.TooOld, "6.2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url := test.url(t)
			conn := open(t, url, impatient)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := conn.Check(ctx)
			if err == nil {
				t.Fatalf("Check = nil, want %v", test.want)
			}
			if got := redisconn.KindOf(err); got != test.want {
				t.Errorf("kind = %v, want %v (%v: %v)", got, test.want, err, errors.Unwrap(err))
			}
			text := err.Error()
			if !strings.HasPrefix(text, "REDIS_URL redis") || !strings.Contains(text, test.advice) {
				t.Errorf("error = %q, want REDIS_URL, the URL and %q in it", text, test.advice)
			}
			if strings.Contains(text, canary) || strings.Contains(text, "\n") {
				t.Errorf("error = %q, want one line without the password", text)
			}
		})
	}
}

func TestExplain_WriteRefusedByARealServer(t *testing.T) {
	t.Parallel()
	full := redistest.Start(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction").URL()
	set := redis.NewScript(`return redis.call('SET', KEYS[1], ARGV[1])`)
	for _, test := range []struct {
		name, url string
		want      redisconn.Kind
	}{
		{"out of memory", full, redisconn.OutOfMemory},
		{"replica", replica(t), redisconn.ReadOnly},
		{"too few replicas", redistest.Start(t, "--min-replicas-to-write", "1").URL(), redisconn.TooFewReplicas},
	} {
		conn := open(t, test.url, impatient)
		for how, err := range map[string]error{
			"command": conn.Client.Set(t.Context(), "k", "v", 0).Err(),
			"script":  set.Run(t.Context(), conn.Client, []string{"k"}, "v").Err(),
		} {
			explained := conn.Explain(t.Context(), err)
			if got := redisconn.KindOf(explained); got != test.want {
				t.Errorf("%s, %s: kind of %v = %v, want %v", test.name, how, err, got, test.want)
			}
			if !errors.Is(explained, err) {
				t.Errorf("%s, %s: the cause is lost", test.name, how)
			}
		}
	}
}

// reply is an error as Redis sends it.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestExplain_EveryCause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err       error
		want      redisconn.Kind
		temporary bool
	}{
		{reply("LOADING Redis is loading the dataset in memory"), redisconn.Loading, true},
		{reply("MISCONF Redis is configured to save RDB snapshots"), redisconn.PersistenceFailing, true},
		{reply("MOVED 1 127.0.0.1:7000"), redisconn.ClusterServer, false},
		{reply("CLUSTERDOWN The cluster is down"), redisconn.ClusterDown, true},
		{reply("MASTERDOWN Link with MASTER is down"), redisconn.ReadOnly, true},
		{reply("BUSY Redis is busy running a script"), redisconn.Busy, true},
		{reply("ERR max number of clients reached"), redisconn.TooManyClients, true},
		{reply("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."), redisconn.OutOfMemory, true},
		{reply("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica."), redisconn.ReadOnly, true},
		{reply("WRONGTYPE Operation against a key"), redisconn.Unknown, false},
		{fmt.Errorf("wrapped: %w", reply("NOPERM this user has no permissions")), redisconn.Forbidden, false},
		{reply("ERR The user executing the script can't run this command or subcommand script: ec69, on @user_script:4."), redisconn.Forbidden, false},
		{reply("ERR Error running script (call to f_ec69): @user_script:4: The user executing the script can't run this command or subcommand"), redisconn.Forbidden, false},
		{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, redisconn.Unreachable, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, redisconn.Disconnected, true},
		{io.EOF, redisconn.Disconnected, true},
		{context.DeadlineExceeded, redisconn.Timeout, true},
		{redis.ErrPoolTimeout, redisconn.PoolExhausted, true},
		{redis.ErrClosed, redisconn.Closed, false},
		{x509.UnknownAuthorityError{}, redisconn.TLSUnknownCA, false},
		{x509.HostnameError{Host: "h", Certificate: &x509.Certificate{}}, redisconn.TLSHostName, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, redisconn.TLSClientMissing, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, redisconn.TLSClientRefused, false},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, redisconn.TLSCertificate, false},
		{reply("ERR DB index is out of range"), redisconn.NoDatabase, false},
		{errors.New(`redis: can't parse "\x15\x03\x03"`), redisconn.TLSMismatch, false},
		{errors.New("something else"), redisconn.Unknown, false},
	} {
		err := redisconn.Explain(test.err, "redis://:"+canary+"@h:1/0")
		kind := redisconn.KindOf(err)
		if kind != test.want || kind.Temporary() != test.temporary {
			t.Errorf("Explain(%v) = %v, temporary %t, want %v, %t", test.err, kind, kind.Temporary(), test.want, test.temporary)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("Explain(%v) lost its cause", test.err)
		}
		if text := err.Error(); !strings.Contains(text, "REDIS_URL redis://:xxxxx@h:1/0: ") || strings.Contains(text, canary) {
			t.Errorf("Explain(%v) = %q, want it to name the URL without its password", test.err, text)
		}
	}
}

func TestExplain_LeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	explained := redisconn.Explain(io.EOF, "redis://h")
	for _, err := range []error{nil, redis.Nil, context.Canceled, explained, fmt.Errorf("wrapped: %w", explained)} {
		if got := redisconn.Explain(err, "redis://other"); !errors.Is(got, err) || fmt.Sprint(got) != fmt.Sprint(err) {
			t.Errorf("Explain(%v) = %v, want it unchanged", err, got)
		}
	}
}

func TestExplain_UnknownErrorDoesNotRepeatArguments(t *testing.T) {
	t.Parallel()
	err := redisconn.Explain(reply("ERR unknown command 'AUTH', with args beginning with: '"+canary+"'"), "redis://h")
	if strings.Contains(err.Error(), canary) {
		t.Errorf("Explain = %q repeats what was sent", err)
	}
	err = redisconn.Explain(errors.New(strings.Repeat("long\n", 1000)), "redis://h")
	if text := err.Error(); len(text) > 300 || strings.Contains(text, "\n") {
		t.Errorf("Explain of a long error has %d bytes, want one short line", len(text))
	}
}

func TestKind_NamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]redisconn.Kind{}
	for kind := redisconn.Unknown; kind <= redisconn.TooOld; kind++ {
		if other, ok := seen[kind.String()]; ok {
			t.Errorf("kinds %d and %d are both called %s", kind, other, kind)
		}
		seen[kind.String()] = kind
	}
}

// deadAddr is an address where nobody listens.
func deadAddr(t testing.TB) string {
	t.Helper()
	return listen(t, func(net.Conn) {}, true)
}

// silentAddr accepts connections and never answers.
func silentAddr(t testing.TB) string {
	t.Helper()
	return listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, false)
}

// listen serves every connection with serve until the test ends.
func listen(t testing.TB, serve func(net.Conn), closed bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	if closed {
		_ = l.Close()
		return l.Addr().String()
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func webAddr(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// replica is a server that follows a primary which does not exist.
func replica(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(deadAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return redistest.Start(t, "--replicaof", "127.0.0.1", port).URL()
}

// forbidden names a user who may not even PING.
func forbidden(t testing.TB) string {
	t.Helper()
	s := redistest.Start(t)
	if err := s.Client(t).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">"+canary, "~*", "+get").Err(); err != nil {
		t.Fatalf("ACL SETUSER: %v", err)
	}
	return "redis://app:" + canary + "@127.0.0.1:" + strconv.Itoa(s.Port())
}
