package deploytest

import (
	"net"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/cardworker/cardworker/internal/redistest"
)

// system is what the compose file describes, as processes of this machine.
type system struct {
	host
	project *types.Project
	secrets string // the directory of the secrets
	redis   *redistest.Server
	sandbox string // where it listens
}

func newSystem(t testing.TB) *system {
	t.Helper()
	secrets := newSecrets(t)
	s := &system{project: load(t), secrets: secrets, redis: startRedis(t, secrets), sandbox: freeAddr(t)}
	s.host = host{binary: build(t), local: s.addresses(t)}
	return s
}

// addresses returns what replaces the names and paths that exist between containers only. Every call finds
// other addresses for worker and monitor, so that there can be two.
func (s *system) addresses(t testing.TB) *strings.Replacer {
	t.Helper()
	replacements := []string{
		"redis:6379", s.redis.Addr,
		secretsDir, s.secrets,
	}
	for listen, names := range map[string][]string{
		"8089": {"0.0.0.0", "127.0.0.1", "sandbox"},
		"9464": {"0.0.0.0", "127.0.0.1", "worker"},
		"8081": {"0.0.0.0", "127.0.0.1", "monitor"},
	} {
		addr := s.sandbox
		if listen != "8089" {
			addr = freeAddr(t)
		}
		for _, name := range names {
			replacements = append(replacements, name+":"+listen, addr)
		}
	}
	return strings.NewReplacer(replacements...)
}

// run runs a command of a service that ends.
func (s *system) run(t testing.TB, name string, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := s.command(t, service(t, s.project, name), args...)
	var out, errs output
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Logf("as %s, %v: %v\n%s%s", name, args, err, &out, &errs)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestCompose_ServicesRunTogether starts what `docker compose up` starts, each with its command, its
// environment and its health check, sends one operation through, and stops it all.
func TestCompose_ServicesRunTogether(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var started []*running
	for _, name := range []string{"sandbox", "worker", "monitor"} { // as depends_on orders them
		started = append(started, s.start(t, service(t, s.project, name)))
	}

	const token = "103169946" // the one in the head of docker-compose.yml
	for _, name := range []string{"producer", "worker"} {
		if out, _ := s.run(t, name, "unblock", "pin", token, "--wait", "-o", "json"); !strings.Contains(out, `"state":"succeeded"`) {
			t.Errorf("unblock pin %s --wait as %s did not succeed; the worker says:\n%s", token, name, started[1].output)
		}
	}

	for i := len(started) - 1; i >= 0; i-- {
		started[i].stop(t)
		if name := secretIn(t, s.secrets, started[i].output.String()); name != "" {
			t.Errorf("%s wrote the secret %s into its log", started[i].service.Name, name)
		}
	}
	nothingDenied(t, s.redis)
}

// freeAddr is a loopback address that nobody listened on a moment ago.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
