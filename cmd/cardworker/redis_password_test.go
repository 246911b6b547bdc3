package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
)

const redisCanary = "canary/7f@3a" // as it is, no percent-encoding

func TestRedisPasswordFile_IsWhatTheUserLogsInWith(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "password", redisCanary+"\n")
	server := redistest.Start(t, "--requirepass", redisCanary, "--user", "app", "on", ">"+redisCanary, "~*", "&*", "+@all")
	for _, user := range []string{"", "app@"} {
		environ := []string{"REDIS_URL=redis://" + user + server.Addr, "REDIS_PASSWORD_FILE=" + file}
		got := cli(t, environ, "unblock", "pin", cardBlocked, "-o", "json")
		if got.code != exitOK {
			t.Errorf("as %q: %s", user, got)
		}
		clean(t, "what it wrote", got.String(), redisCanary)

		got = cli(t, append(environ, "REDIS_PASSWORD_FILE="+writeFile(t, "wrong", redisCanary+"x")), "unblock", "pin", cardBlocked, "-o", "json")
		if got.code != exitError || !strings.Contains(one(t, "stderr", got.stderr), "Redis refuses the user name or the password") {
			t.Errorf("as %q with a wrong password: %s", user, got)
		}
		clean(t, "what it wrote", got.String(), redisCanary)
	}
}

func TestRedisPasswordFile_WhatIsWrongIsOneSentence(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "password", redisCanary)
	base := slices.DeleteFunc(complete(), func(v string) bool { return strings.HasPrefix(v, "REDIS_URL") })
	for name, tc := range map[string]struct {
		url, file, want string
	}{
		"missing":         {"redis://app@127.0.0.1:1", "/does/not/" + redisCanary, "REDIS_PASSWORD_FILE names a file that cannot be used: no such file or directory"},
		"empty":           {"redis://app@127.0.0.1:1", writeFile(t, "empty", "\n"), "REDIS_PASSWORD_FILE names a file that cannot be used: it is empty"},
		"another in URL":  {"redis://app:" + "canary" + "@127.0.0.1:1", file, "REDIS_URL cannot be used: it has a password, and so has REDIS_PASSWORD_FILE: keep one of them"},
		"embedded":        {"embedded", file, "REDIS_PASSWORD_FILE is set, and the embedded Redis has no password: unset it"},
		"nobody's at all": {"redis://app@127.0.0.1:1", "", "REDIS_URL cannot be used: it has a user name and no password"},
	} {
		got := cli(t, append(slices.Clone(base), "REDIS_URL="+tc.url, "REDIS_PASSWORD_FILE="+tc.file), "worker")
		if got.code != exitError || !strings.HasPrefix(one(t, name+": stderr", got.stderr), "cardworker: "+tc.want) {
			t.Errorf("%s: want %q: %s", name, tc.want, got)
		}
		clean(t, name, got.stderr, "canary")
	}
}
