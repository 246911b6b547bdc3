package redisconn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redisconn"
)

func TestRedact_KeepsEverythingButPasswords(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"embedded":                          "embedded",
		"redis://":                          "redis://localhost:6379",
		"redis://h/3":                       "redis://h:6379/3",
		"redis://[::1]:6380/0":              "redis://[::1]:6380/0",
		"redis://:canary@h:6380/1":          "redis://:xxxxx@h:6380/1",
		"rediss://app:canary@h":             "rediss://app:xxxxx@h:6379",
		"redis://app:can%2Fary%40@h/0":      "redis://app:xxxxx@h:6379/0",
		"redis://app:can@ry@h/0":            "redis://app:xxxxx@h:6379/0",
		"redis://h/0?pool_size=5":           "redis://h:6379/0?pool_size=5",
		"redis-cluster://a,b:6380":          "redis-cluster://a:6379,b:6380",
		"redis-sentinel://u:canary@a,b/m":   "redis-sentinel://u:xxxxx@a:26379,b:26379/m",
		"rediss-sentinel://a:1,[::2]:3/m/4": "rediss-sentinel://a:1,[::2]:3/m/4",
		"redis-sentinel://a/m/0?sentinel_password=canary&sentinel_username=s": "redis-sentinel://a:26379/m/0?sentinel_password=xxxxx&sentinel_username=s",
	} {
		if got := redisconn.Redact(raw); got != want {
			t.Errorf("Redact(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestOpen_BadURLSaysWhatAndRepeatsNoPassword(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                           "begin with redis://",
		"localhost:6379":                             "begin with redis://",
		"canary":                                     "begin with redis://",
		"http://:canary@h":                           "begin with redis://",
		"redis:/h":                                   "begin with redis://",
		"redis://:can/ary@h:6379/0":                  "percent-encoded",
		"redis://:12?canary@h:6379/0":                "percent-encoded",
		"redis://:12#canary@h:6379/0":                "percent-encoded",
		"redis://:can%ary@h:6379/0":                  "percent-encoded",
		"redis://:can ary@h:6379/0":                  "percent-encoded",
		"redis://h/0#canary":                         "%23",
		"redis://canary@h":                           "no password",
		"redis://h:0":                                "port must be between 1 and 65535",
		"redis://h:70000":                            "port must be between 1 and 65535",
		"redis://h:canary/0":                         "host cannot be read",
		"redis://h/x":                                "database after the /",
		"redis://h/-1":                               "database after the /",
		"redis://h/0/1":                              "too many parts",
		"redis://a,b":                                "one host",
		"redis://h?nonsense=canary":                  `option "nonsense" is unknown`,
		"redis://h?pool_size=canary":                 `option "pool_size"`,
		"redis://h?db=-1":                            "options",
		"redis://h?sentinel_password=canary":         "for redis-sentinel:// only",
		"redis://h?tls=canary":                       "tls must be true or false",
		"redis://h?ca_file=/canary":                  "needs TLS",
		"rediss://h?cert_file=/a":                    "come together",
		"rediss://h?ca_file=/does/not/exist":         "/does/not/exist",
		"rediss://h?cert_file=/none&key_file=/none2": "cert_file and key_file",
		"redis-sentinel://a,b":                       "name of the primary is missing",
		"redis-sentinel://a,,b/m":                    "host name is missing",
		"redis-sentinel://a/m/x":                     "database after the /",
		"redis-cluster://a,b/1":                      "only database 0",
		"redis-cluster://a,b?db=1":                   "only database 0",
		"redis-cluster://":                           "host name is missing",
	} {
		conn, err := redisconn.Open(raw, redisconn.Options{})
		if err == nil {
			_ = conn.Close()
			t.Errorf("Open(%q) = nil error, want one with %q", raw, want)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "REDIS_URL ") || !strings.Contains(text, want) {
			t.Errorf("Open(%q) = %q, want REDIS_URL and %q in it", raw, text, want)
		}
		if strings.Contains(text, "can") && strings.Contains(text, "ary@") || strings.Contains(text, "canary") {
			t.Errorf("Open(%q) = %q repeats the password", raw, text)
		}
		if got := redisconn.KindOf(err); got != redisconn.BadURL {
			t.Errorf("KindOf(Open(%q)) = %v, want %v", raw, got, redisconn.BadURL)
		}
	}
}

func TestOpen_SettingsReachTheClient(t *testing.T) {
	t.Parallel()
	options := func(url string, o redisconn.Options) *redis.Options {
		return open(t, url, o).Client.(*redis.Client).Options()
	}

	got := options("redis://u:p@h:1/2", redisconn.Options{ClientName: "app"})
	if got.Addr != "h:1" || got.DB != 2 || got.Username != "u" || got.Password != "p" || got.ClientName != "app" {
		t.Errorf("options = %s db %d user %q password %q name %q, want those of the URL", got.Addr, got.DB, got.Username, got.Password, got.ClientName)
	}
	if got.DialTimeout != redisconn.DefaultDialTimeout || got.ReadTimeout != redisconn.DefaultReadTimeout ||
		got.WriteTimeout != redisconn.DefaultWriteTimeout || got.MaxRetries != redisconn.DefaultMaxRetries {
		t.Errorf("timeouts = %v %v %v, retries %d, want the defaults", got.DialTimeout, got.ReadTimeout, got.WriteTimeout, got.MaxRetries)
	}
	if !got.ContextTimeoutEnabled || !got.DisableIdentity {
		t.Errorf("ContextTimeoutEnabled = %t, DisableIdentity = %t, want both", got.ContextTimeoutEnabled, got.DisableIdentity)
	}

	program := redisconn.Options{PoolSize: 7, ReadTimeout: time.Second, MaxRetries: 1}
	got = options("redis://h?pool_size=9&max_retries=2", program)
	if got.PoolSize != 9 || got.MaxRetries != 2 || got.ReadTimeout != time.Second {
		t.Errorf("pool %d, retries %d, read timeout %v, want 9 and 2 from the URL and 1s from the program", got.PoolSize, got.MaxRetries, got.ReadTimeout)
	}

	if got := options("rediss://h:1", redisconn.Options{}).TLSConfig; got == nil || got.ServerName != "h" || got.InsecureSkipVerify {
		t.Errorf("TLS of rediss://h = %+v, want it to verify the name h", got)
	}
	if got := options("redis://h:1?tls=true&server_name=s", redisconn.Options{}).TLSConfig; got == nil || got.ServerName != "s" {
		t.Errorf("TLS of ?tls=true&server_name=s = %+v, want it to verify the name s", got)
	}
	cluster := open(t, "rediss-cluster://u:p@a,b:2", program).Client.(*redis.ClusterClient).Options()
	if cluster.Username != "u" || cluster.Password != "p" || cluster.PoolSize != 7 || cluster.TLSConfig == nil || len(cluster.Addrs) != 2 {
		t.Errorf("cluster user %q, pool %d, TLS %v, %v, want those of the URL and of the program", cluster.Username, cluster.PoolSize, cluster.TLSConfig != nil, cluster.Addrs)
	}
}

// FuzzOpen plants a password in URLs of every shape and looks for it in what can be printed.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"h/0", "h:6379", "a,b/m/0", "/h", "?db=1", "[::1]:1/0?tls=1", "h#x", "h%zz", "@@"} {
		for _, scheme := range []string{"redis", "rediss", "redis-sentinel", "redis-cluster"} {
			f.Add(scheme, "user", seed)
		}
	}
	f.Fuzz(func(t *testing.T, scheme, user, rest string) {
		const password = "c4n4ry"
		if strings.Contains(scheme+user+rest, password) || strings.ContainsAny(scheme, ":/") {
			return // the input itself holds what is looked for
		}
		raw := scheme + "://" + user + ":" + password + "@" + rest
		if got := redisconn.Redact(raw); strings.Contains(got, password) {
			t.Errorf("Redact(%q) = %q shows the password", raw, got)
		}
		conn, err := redisconn.Open(raw, redisconn.Options{})
		if err != nil {
			if strings.Contains(err.Error(), password) {
				t.Errorf("Open(%q) = %q shows the password", raw, err)
			}
			return
		}
		defer func() { _ = conn.Close() }()
		if strings.Contains(conn.String(), password) {
			t.Errorf("String() of %q = %q shows the password", raw, conn)
		}
	})
}
