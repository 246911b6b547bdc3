package deploytest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// runSecrets runs deploy/secrets.sh on dir as the compose file's first service does.
func runSecrets(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join(root, "deploy/secrets.sh")}, args...)...)
	cmd.Env = append(os.Environ(), "SECRETS_DIR="+dir, "SECRETS_USERS="+filepath.Join(root, "deploy/users.acl"),
		"SECRETS_GROUP="+strconv.Itoa(os.Getgid()), "SECRETS_REDIS_GROUP="+strconv.Itoa(os.Getgid()))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("secrets.sh %v: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}

// newSecrets makes the secrets in a new directory that looks like the mounted volumes.
func newSecrets(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, volume := range []string{"redis", "worker", "producer", "monitor", "operator", "sandbox"} {
		if err := os.Mkdir(filepath.Join(dir, volume), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	runSecrets(t, dir, "make")
	return dir
}

// secretFiles are the secrets that are made, those that can be shown first.
var secretFiles = []string{
	"monitor/password", "redis/admin_password", "sandbox/client_secret",
	"worker/redis_password", "producer/redis_password", "monitor/redis_password", "operator/redis_password",
}

// readUsers returns the ACL file, which holds no password and can be read by Redis.
func readUsers(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "redis/users.acl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o440 {
		t.Errorf("%s: mode %v, %v, want 0440", file, info.Mode(), err)
	}
	if name := secretIn(t, dir, string(text)); name != "" {
		t.Errorf("the ACL file holds %s in the clear", name)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "user ") || strings.ContainsAny(line, "<>\t") {
			t.Errorf("the ACL file has the line %q, want a whole user", line)
		}
	}
	return string(text)
}

func TestSecrets_AreRandomKeptAndNotPrinted(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for range 2 {
		dir := newSecrets(t)
		var first []string
		for _, name := range secretFiles {
			file := filepath.Join(dir, name)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			secret := strings.TrimSpace(string(text))
			if len(secret) != 32 {
				t.Errorf("%s has %d characters, want 32", name, len(secret))
			}
			if other, ok := seen[secret]; ok {
				t.Errorf("%s is the same as %s", name, other)
			}
			seen[secret] = name
			first = append(first, secret)
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o440 {
				t.Errorf("%s: mode %v, %v, want 0440", name, info.Mode(), err)
			}
		}

		users := readUsers(t, dir)
		out := runSecrets(t, dir, "make") // the next docker compose up
		if again := readUsers(t, dir); again != users {
			t.Errorf("the next start made other users:\n%s\nthe first made\n%s", again, users)
		}
		for _, secret := range first {
			if strings.Contains(out, secret) {
				t.Error("secrets.sh make prints a secret, which lands in a log")
			}
		}
		for args, want := range map[string]string{"show": first[0], "show monitor": first[0], "show admin": first[1]} {
			if got := strings.TrimSpace(runSecrets(t, dir, strings.Fields(args)...)); got != want {
				t.Errorf("secrets.sh %s does not print the password of the first run", args)
			}
		}
	}
}

// What the compose file's monitor is like says nothing about secrets that are made elsewhere.
func TestSecrets_ElsewhereNothingIsSaidOfTheComposeFile(t *testing.T) {
	t.Parallel()
	dir := newSecrets(t)
	out := runSecrets(t, dir, "make")
	if !strings.Contains(out, filepath.Join(dir, "redis/users.acl")) || strings.Contains(out, "docker") || strings.Contains(out, "8081") {
		t.Errorf("secrets.sh for another directory says %q, want where the users are, and nothing of the compose file", out)
	}
}

// With an empty ACL file Redis would start with a default user that may do everything and has no password.
func TestSecrets_WithoutTheUsersThereIsNoACLFile(t *testing.T) {
	t.Parallel()
	dir := newSecrets(t)
	users := readUsers(t, dir)
	mounted := t.TempDir() // What Docker makes of a file that is not there.
	for _, file := range []string{filepath.Join(mounted, "missing"), mounted} {
		cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "deploy/secrets.sh"), "make")
		cmd.Env = append(os.Environ(), "SECRETS_DIR="+dir, "SECRETS_USERS="+file,
			"SECRETS_GROUP="+strconv.Itoa(os.Getgid()), "SECRETS_REDIS_GROUP="+strconv.Itoa(os.Getgid()))
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), file) {
			t.Errorf("secrets.sh with users from %s: %v, %s; want an error that names it", file, err, out)
		}
		if again := readUsers(t, dir); again != users {
			t.Errorf("the ACL file became %q", again)
		}
	}
}
