package monitor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestNew_RefusesAnOpenAddressWithoutAPassword(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:8081", ":8081", "[::]:8081", "10.1.2.3:8081", "monitor.example:8081"} {
		_, err := New(Config{Redis: unreachable(t), Addr: addr})
		if err == nil {
			t.Errorf("New(Addr %q) without a password succeeded, want a refusal", addr)
			continue
		}
		for _, want := range []string{"MONITOR_PASSWORD_FILE", "MONITOR_HTTP_ADDR"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New(Addr %q) = %q, want it to name %s", addr, err, want)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("New(Addr %q) = %q, want one line", addr, err)
		}
		if _, err := New(Config{Redis: unreachable(t), Addr: addr, Password: []byte("correct horse")}); err != nil {
			t.Errorf("New(Addr %q) with a password = %v, want success", addr, err)
		}
	}
}

func TestNew_OpensLoopbackWithoutAPassword(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "127.0.0.1:8081", "127.8.8.8:0", "[::1]:8081", "localhost:8081", "[::ffff:127.0.0.1]:1"} {
		if _, err := New(Config{Redis: unreachable(t), Addr: addr}); err != nil {
			t.Errorf("New(Addr %q) = %v, want success", addr, err)
		}
	}
}

func TestNew_NamesEveryProblemAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Addr: "nonsense", User: "a:b", Password: []byte("\n")})
	if err == nil {
		t.Fatal("New succeeded, want an error")
	}
	for _, want := range []string{"Redis", "MONITOR_HTTP_ADDR", "MONITOR_USER", "MONITOR_PASSWORD_FILE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, want it to name %s", err, want)
		}
	}
	_, err = New(Config{Addr: "nonsense", Password: []byte("hunter2")})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("New = %v, want an error without the password", err)
	}
}

func TestConfig_NeverPrintsThePassword(t *testing.T) {
	t.Parallel()
	cfg := Config{Addr: "127.0.0.1:1", Password: []byte("hunter2")}
	bytesOf := fmt.Sprintf("%d", []byte("hunter2"))
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg), fmt.Sprintf(verb, cfg.Password))
	}
	b, err := json.Marshal(map[string]any{"password": cfg.Password})
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	for _, s := range append(printed, string(b)) {
		for _, secret := range []string{"hunter2", "68756e74657232", strings.Trim(bytesOf, "[]")} {
			if strings.Contains(s, secret) {
				t.Errorf("printed %q, which has the password as %q", s, secret)
			}
		}
		if !strings.Contains(s, redacted) {
			t.Errorf("printed %q, want %q in it", s, redacted)
		}
	}
}
