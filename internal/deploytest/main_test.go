// Package deploytest holds docker-compose.yml, the Dockerfile and deploy/ to what they promise, and runs
// every service of the compose file without containers.
package deploytest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestMain(m *testing.M) {
	redisconn.SetLogger(nil)
	redistest.Main(m)
}

// root is the root of the repository.
const root = "../.."

// load reads docker-compose.yml as docker compose does, with an environment of its own.
func load(t testing.TB, environ ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithProfiles([]string{"*"}), cli.WithEnv(environ))
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

// service returns one service of the project.
func service(t testing.TB, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return s
}

// read returns a file of the repository.
func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// secretsDir is where the services find what deploy/secrets.sh makes.
const secretsDir = "/run/cardworker"
