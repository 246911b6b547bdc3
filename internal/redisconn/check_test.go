package redisconn_test

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestCheck_WarnsOfSettingsThatForget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		url  func(testing.TB) string
		want []string
	}{
		{"durable", func(t testing.TB) string { return redistest.Start(t, "--appendonly", "yes").URL() }, nil},
		{"no AOF", func(t testing.TB) string { return redistest.Start(t).URL() }, []string{"appendonly"}},
		{"evicting", func(t testing.TB) string { return redistest.Start(t, "--maxmemory-policy", "allkeys-lru").URL() }, []string{"appendonly", "maxmemory-policy"}},
		{"cluster says it once", func(t testing.TB) string { return redistest.StartCluster(t, 3).URL() }, []string{"appendonly"}},
		{"embedded", func(testing.TB) string { return redisconn.EmbeddedURL }, nil},
		{"INFO refused", withoutInfo, []string{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warnings, err := open(t, test.url(t), redisconn.Options{}).Check(t.Context())
			if err != nil {
				t.Fatalf("Check: %v", err)
			}
			var got []string
			for _, w := range warnings {
				got = append(got, w.Setting)
				if w.Advice == "" || !strings.Contains(w.String(), w.Advice) {
					t.Errorf("warning %+v prints as %q", w, w)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("warnings about (-want +got):\n%s", diff)
			}
		})
	}
}

// withoutInfo names a user who may do everything but INFO.
func withoutInfo(t testing.TB) string {
	t.Helper()
	s := redistest.Start(t)
	if err := s.Client(t).Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info").Err(); err != nil {
		t.Fatalf("ACL SETUSER: %v", err)
	}
	return "redis://app:secret@" + s.Addr
}

// oldAddr answers as a Redis 6.0 would.
func oldAddr(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the old server: %v", err)
	}
	t.Cleanup(s.Close)
	for name, answer := range map[string]string{"PING": "PONG", "INFO": "# Server\r\nredis_version:6.0.20\r\nrole:master\r\n"} {
		err := s.Register(name, func(c *server.Peer, _ string, _ []string) { c.WriteBulk(answer) })
		if err != nil {
			t.Fatalf("register %s: %v", name, err)
		}
	}
	return s.Addr().String()
}
