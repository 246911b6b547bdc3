package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/payblr"
)

// complete is an environment in which a worker starts, if there is a Redis at this address.
func complete() []string {
	return []string{
		"PAYBLR_BASE_URL=https://gateway.example", "PAYBLR_TOKEN_URL=https://login.example/token",
		"PAYBLR_CLIENT_ID=client", "PAYBLR_CLIENT_SECRET=secret", "REDIS_URL=redis://127.0.0.1:1",
	}
}

func loadAll(environ []string) (settings, error) {
	return loadSettings(environ, partRedis, partPayblr, partWorker, partMonitor)
}

func TestSettings_DefaultsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	s, err := loadAll(slices.DeleteFunc(complete(), func(v string) bool { return strings.HasPrefix(v, "REDIS_URL") }))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	got := fmt.Sprintln(s.RedisURL, s.PayblrTimeout, s.PayblrRateLimit, s.WorkerConcurrency, s.WorkerShutdownTimeout, s.WorkerHTTPAddr,
		s.UnblockLimit, s.UnblockExpiry, s.RefreshExpiry, s.ResultTTL, s.AcceptDurability, s.MonitorHTTPAddr, s.MonitorUser, s.LogLevel, s.LogFormat)
	want := fmt.Sprintln("redis://127.0.0.1:6379/0", "10s", 0.0, 256, "25s", "127.0.0.1:9464",
		5, "5m0s", "2m0s", "24h0m0s", "memory", "127.0.0.1:8081", "admin", "info", "")
	if got != want {
		t.Errorf("defaults = %s\nwant       %s", got, want)
	}
}

// Each value is given to the worker alone, in an otherwise right environment.
func TestSettings_OutOfBoundsOrUnreadableNamesVariableAndBound(t *testing.T) {
	t.Parallel()
	const canary = "canary7f3a"
	for _, tc := range []struct {
		name, want string
		bad, good  []string
	}{
		{"PAYBLR_TIMEOUT", "between 100ms and 1m", []string{"99ms", "61s", "-1s", "10", "0"}, []string{"100ms", "1m"}},
		{"PAYBLR_RATE_LIMIT", "0 (no limit) or a number of calls per second between 0.01 and 100000", []string{"-1", "100001", "NaN", "Inf", "0.001"}, []string{"0", "0.5", "100000"}},
		{"WORKER_CONCURRENCY", "between 1 and 10000", []string{"0", "-5", "10001", "2.5", "99999999999999999999"}, []string{"1", "10000"}},
		{"WORKER_SHUTDOWN_TIMEOUT", "between 1s and 10m", []string{"999ms", "601s", "25"}, []string{"1s", "10m"}},
		{"WORKER_HTTP_ADDR", "host:port with a port between 0 (any) and 65535, or off", []string{"9464", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:http2", "on"}, []string{"off", ":9464", "[::1]:0"}},
		{"UNBLOCK_LIMIT", "between 0 (no limit) and 1000", []string{"-1", "1001", "five"}, []string{"0", "1000"}},
		{"UNBLOCK_EXPIRY", "between 1s and 24h", []string{"999ms", "25h", "5"}, []string{"1s", "24h"}},
		{"REFRESH_EXPIRY", "between 1s and 24h", []string{"0s", "1441m", "two"}, []string{"1s", "24h"}},
		{"RESULT_TTL", "between 1s and 720h", []string{"10ms", "721h", "1d"}, []string{"1s", "720h"}},
		{"ACCEPT_DURABILITY", "memory, disk or replica", []string{"Disk", "aof", "disk,replica", "1"}, []string{"memory", "disk", "replica"}},
		{"LOG_LEVEL", "debug, info, warn or error", []string{"loud"}, []string{"debug", "error"}},
		{"LOG_FORMAT", "text or json", []string{"xml", "JSON"}, []string{"text", "json"}},
		{"PAYBLR_BASE_URL", "", []string{"gateway.example", "ftp://gateway.example", "https://", "http://gateway.example", "https://user:pass@gateway.example", "https://gateway.example/thr/"}, []string{"http://127.0.0.1:8089", "http://sandbox:8089", "https://gateway.example/base/", "https://gateway.example/thread"}},
		{"PAYBLR_TOKEN_URL", "", []string{"login", "http://login.example", "https://login.example#x", "https://a:b@login.example"}, []string{"https://login.example/t?x=y"}},
		{"PAYBLR_CLIENT_ID", "control character", []string{"a\nb"}, nil},
		{"PAYBLR_CLIENT_SECRET", "control character", []string{"a\tb"}, []string{"with space"}},
		{"PAYBLR_SCOPE", "control character", []string{"a\nb"}, []string{"a b"}},
		{"PAYBLR_SUBSCRIPTION_KEY", "printable ASCII", []string{"a b", "ä"}, []string{"abc"}},
		{"REDIS_URL", "", []string{"localhost:6379", "http://127.0.0.1", "redis://h1,h2", "redis://127.0.0.1/x", "redis://:" + canary + "@h:p", "redis-sentinel://h", "redis://h?nonsense=1"}, []string{"rediss://h", "redis-sentinel://u:p@h1,h2:1/m/0", "redis-cluster://h1,h2", "embedded"}},
	} {
		bad := tc.bad
		if tc.name != "PAYBLR_CLIENT_ID" && tc.name != "PAYBLR_CLIENT_SECRET" && tc.name != "PAYBLR_SCOPE" && tc.name != "PAYBLR_SUBSCRIPTION_KEY" {
			bad = append(slices.Clone(bad), canary)
		}
		for _, value := range bad {
			got := cli(t, append(complete(), tc.name+"="+value), "worker")
			line := one(t, tc.name+"="+value+": stderr", got.stderr)
			if got.code != exitError || got.stdout != "" || !strings.HasPrefix(line, "cardworker: "+tc.name+" ") || !strings.Contains(line, tc.want) {
				t.Errorf("%s=%q: want exit code 1 and one line that names it and says %q: %s", tc.name, value, tc.want, got)
			}
			clean(t, "the error of "+tc.name, got.stderr, canary, "pass@", "a:b@")
		}
		for _, value := range tc.good {
			if _, err := loadAll(append(complete(), tc.name+"="+value)); err != nil {
				t.Errorf("%s=%q is refused: %v", tc.name, value, err)
			}
		}
	}
}

// The documentation of the API shows its paths with /thr, which the client appends.
func TestSettings_BaseURLWithThePathsOfTheAPIIsRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"https://gateway.example/thr", "https://gateway.example/psp/thr/"} {
		got := cli(t, append(complete(), "PAYBLR_BASE_URL="+value), "worker")
		if line := one(t, "stderr", got.stderr); got.code != exitError || !strings.Contains(line, "PAYBLR_BASE_URL must be given without /thr") {
			t.Errorf("PAYBLR_BASE_URL=%s: want exit code 1 and what to leave out: %s", value, got)
		}
	}
}

func TestSettings_MonitorsOwn(t *testing.T) {
	t.Parallel()
	empty := writeFile(t, "empty", "\n")
	password := writeFile(t, "password", "a password\n")
	got := cli(t, []string{"REDIS_URL=redis://127.0.0.1:1", "MONITOR_HTTP_ADDR=0.0.0.0:0", "MONITOR_USER=a:b", "LOG_LEVEL=loud"}, "monitor")
	expect(t, got, exitError, "MONITOR_HTTP_ADDR can be reached from other machines", "MONITOR_USER has a colon", "LOG_LEVEL must be")
	for _, tc := range []struct{ set, want string }{
		{"MONITOR_HTTP_ADDR=8081", "MONITOR_HTTP_ADDR must be host:port"},
		{"MONITOR_HTTP_ADDR=127.0.0.1:70000", "MONITOR_HTTP_ADDR must be host:port"},
		{"MONITOR_HTTP_ADDR=0.0.0.0:0", "MONITOR_PASSWORD_FILE"},
		{"MONITOR_PASSWORD_FILE=/does/not/exist", "MONITOR_PASSWORD_FILE names a file that cannot be used: no such file"},
		{"MONITOR_PASSWORD_FILE=" + empty, "MONITOR_PASSWORD_FILE names a file that cannot be used: it is empty"},
		{"MONITOR_USER=a:b", "MONITOR_USER"},
		{"RESULT_TTL=never", "RESULT_TTL"},
	} {
		got := cli(t, []string{"REDIS_URL=redis://127.0.0.1:1", tc.set}, "monitor")
		if got.code != exitError || got.stdout != "" || !strings.Contains(one(t, "stderr", got.stderr), tc.want) {
			t.Errorf("%s: want exit code 1 and %q: %s", tc.set, tc.want, got)
		}
	}
	s, err := loadAll(append(complete(), "MONITOR_PASSWORD_FILE="+password))
	if err != nil || string(s.monitorPassword) != "a password" {
		t.Errorf("password = %q, %v, want it without the newline", string(s.monitorPassword), err)
	}
}

func TestSettings_AllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	const canary = "canary7f3a"
	wrong := []string{
		"REDIS_URL", "PAYBLR_BASE_URL", "PAYBLR_TOKEN_URL", "PAYBLR_TIMEOUT", "PAYBLR_RATE_LIMIT", "WORKER_CONCURRENCY",
		"WORKER_SHUTDOWN_TIMEOUT", "WORKER_HTTP_ADDR", "UNBLOCK_LIMIT", "UNBLOCK_EXPIRY", "REFRESH_EXPIRY", "RESULT_TTL",
		"ACCEPT_DURABILITY", "LOG_LEVEL", "LOG_FORMAT", "PAYBLR_CLIENT_SECRET_FILE", "PAYBLR_SUBSCRIPTION_KEY_FILE",
	}
	var environ []string
	for _, name := range wrong {
		environ = append(environ, name+"="+canary)
	}
	got := cli(t, environ, "worker")
	for _, name := range append(wrong, "PAYBLR_CLIENT_ID") {
		if n := strings.Count(got.stderr, "\n  "+name+" "); n != 1 {
			t.Errorf("%s is named %d times, want once", name, n)
		}
	}
	if lines := strings.Count(got.stderr, "\n"); got.code != exitError || got.stdout != "" || lines != len(wrong)+2 {
		t.Errorf("want exit code 1, a heading and %d lines on stderr: %s", len(wrong)+1, got)
	}
	clean(t, "the error", got.stderr, canary)
}

func TestSettings_WhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	got := cli(t, nil, "worker")
	for _, name := range []string{"PAYBLR_BASE_URL", "PAYBLR_TOKEN_URL", "PAYBLR_CLIENT_ID", "PAYBLR_CLIENT_SECRET"} {
		if !strings.Contains(got.stderr, "\n  "+name+" is not set") {
			t.Errorf("%s is not named as missing", name)
		}
	}
	if lines := strings.Count(got.stderr, "\n"); got.code != exitError || lines != 5 {
		t.Errorf("want exit code 1 and five lines: %s", got)
	}
}

func TestSettings_EmptyIsNotSet(t *testing.T) {
	t.Parallel()
	var environ []string
	for _, v := range variables() {
		environ = append(environ, v.name+"=")
	}
	s, err := loadSettings(environ, partRedis, partWorker, partMonitor)
	if err != nil || s.RedisURL != "redis://127.0.0.1:6379/0" || s.WorkerConcurrency != 256 || s.LogLevel != "info" {
		t.Errorf("settings of an environment of empty variables = %+v, %v, want the defaults", s, err)
	}
	_, err = loadSettings(append(complete(), "PAYBLR_CLIENT_SECRET="), partPayblr)
	if err == nil || !strings.Contains(err.Error(), "PAYBLR_CLIENT_SECRET is not set") {
		t.Errorf("an empty secret: %v, want it said that it is not set", err)
	}
}

// A number that is wrong is wrong for every command, not only for the one that would use it.
func TestSettings_AreCheckedByEveryCommandThatReadsThem(t *testing.T) {
	t.Parallel()
	const id = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	for _, args := range []string{
		"worker", "monitor", "demo", "unblock pin 103169946", "refresh pin 103169946", "refresh pin 103169946 200000001",
		"operation get " + id, "operation watch " + id, "operation retry " + id,
	} {
		got := cli(t, append(complete(), "WORKER_CONCURRENCY=0"), strings.Fields(args)...)
		if got.code != exitError || got.stdout != "" || !strings.HasPrefix(got.stderr, "cardworker: WORKER_CONCURRENCY must be") {
			t.Errorf("cardworker %s: %s", args, got)
		}
	}
}

func TestSettings_SecretFiles(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-canary"
	for name, read := range map[string]func(settings) payblr.Secret{
		"PAYBLR_CLIENT_SECRET":    func(s settings) payblr.Secret { return s.PayblrClientSecret },
		"PAYBLR_SUBSCRIPTION_KEY": func(s settings) payblr.Secret { return s.PayblrSubscriptionKey },
	} {
		without := slices.Clip(slices.DeleteFunc(complete(), func(v string) bool { return strings.HasPrefix(v, name) }))
		for _, content := range []string{secret, secret + "\n", secret + "\r\n"} {
			s, err := loadAll(append(without, name+"_FILE="+writeFile(t, "secret", content)))
			if err != nil || read(s).Reveal() != secret {
				t.Errorf("%s_FILE with %q: %q, %v, want %q", name, content, read(s).Reveal(), err, secret)
			}
		}
		for what, tc := range map[string]struct {
			environ []string
			want    string
		}{
			"missing":                    {append(without, name+"_FILE=/does/not/"+secret), name + "_FILE names a file that cannot be used: no such file or directory"},
			"the secret itself as name":  {append(without, name+"_FILE="+secret), name + "_FILE names a file that cannot be used: no such file or directory"},
			"a folder":                   {append(without, name+"_FILE="+t.TempDir()), name + "_FILE names a file that cannot be used: is a directory"},
			"empty":                      {append(without, name+"_FILE="+writeFile(t, "empty", "")), name + "_FILE names a file that cannot be used: it is empty"},
			"nothing but a newline":      {append(without, name+"_FILE="+writeFile(t, "newline", "\r\n")), name + "_FILE names a file that cannot be used: it is empty"},
			"a line break in the middle": {append(without, name+"_FILE="+writeFile(t, "two", secret+"\nmore")), name + "_FILE names a file whose content must"},
			"both":                       {append(without, name+"="+secret, name+"_FILE="+writeFile(t, "both", secret)), name + " and " + name + "_FILE are both set"},
		} {
			got := cli(t, tc.environ, "worker")
			if got.code != exitError || !strings.HasPrefix(one(t, what+": stderr", got.stderr), "cardworker: "+tc.want) {
				t.Errorf("%s, %s: want %q: %s", name, what, tc.want, got)
			}
			clean(t, what, got.stderr, secret)
		}
	}
}

func TestSettings_PrintNoSecret(t *testing.T) {
	t.Parallel()
	s, err := loadAll(append(complete(), "PAYBLR_CLIENT_SECRET=canary7f3a", "PAYBLR_SUBSCRIPTION_KEY=canary7f3a",
		"MONITOR_PASSWORD_FILE="+writeFile(t, "password", "canary7f3a"), "REDIS_PASSWORD_FILE="+writeFile(t, "redis", "canary7f3a")))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	clean(t, "the printed settings", fmt.Sprintf("%v %+v %#v", s, s, s), "canary7f3a")
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatalf("write %s: %v", file, err)
	}
	return file
}
