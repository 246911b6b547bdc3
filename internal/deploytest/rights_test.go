package deploytest

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// A worker that was given the user of another part would say that it has started, and never do anything.
func TestUsers_WorkerAsAnotherUserIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for _, user := range []string{"producer", "monitor", "operator"} {
		worker := with(service(t, s.project, "worker"), types.ShellCommand{"worker"}, map[string]string{
			"REDIS_URL":           "redis://" + user + "@redis:6379/0",
			"REDIS_PASSWORD_FILE": secretsDir + "/" + user + "/redis_password",
			"WORKER_HTTP_ADDR":    "127.0.0.1:0",
		})
		out, err := s.command(t, worker, worker.Command...).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		const want = "the Redis user may not run a command or use a key that is needed: extend its ACL"
		if last := lines[len(lines)-1]; err == nil || err.Error() != "exit status 1" || !strings.Contains(last, want) || !strings.HasPrefix(last, "cardworker: REDIS_URL redis://"+user+":") {
			t.Errorf("worker as %s: %v, want exit status 1 and %q in the last line:\n%s", user, err, want, out)
		}
		if strings.Contains(string(out), "worker started") || strings.Contains(string(out), "NOPERM") {
			t.Errorf("worker as %s says more than what is wrong:\n%s", user, out)
		}
	}
}
