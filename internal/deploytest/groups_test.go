package deploytest

import (
	"strings"
	"testing"

	"github.com/cardworker/cardworker/internal/redistest"
)

// TestUsers_AreEnoughForAClusterAndForSentinels: a client asks more of those than of one server.
func TestUsers_AreEnoughForAClusterAndForSentinels(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.start(t, service(t, s.project, "sandbox"))
	for name, begin := range map[string]func(testing.TB) (url string, nodes []*redistest.Server){
		"cluster": func(t testing.TB) (string, []*redistest.Server) {
			c := redistest.StartCluster(t, 3)
			return c.URL(), c.Nodes
		},
		"sentinels": func(t testing.TB) (string, []*redistest.Server) {
			g := redistest.StartSentinel(t)
			return g.URL(), []*redistest.Server{g.Primary, g.Replica}
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, nodes := begin(t)
			users := readUsers(t, s.secrets)
			for _, node := range nodes {
				for line := range strings.Lines(users) {
					// The test goes on as the default user.
					if fields := strings.Fields(line); fields[1] != "default" {
						setUser(t, node, fields[1:])
					}
				}
			}
			as := func(user string) map[string]string {
				return map[string]string{"REDIS_URL": strings.Replace(url, "://", "://"+user+"@", 1), "PAYBLR_RATE_LIMIT": "200"}
			}
			elsewhere := host{binary: s.binary, local: s.addresses(t)}
			for _, name := range []string{"worker", "monitor"} {
				running := elsewhere.start(t, with(service(t, s.project, name), nil, as(name)))
				defer running.stop(t)
			}
			for _, card := range []string{"100000001", "100000002", "100000003", "503000001"} {
				cmd := s.command(t, with(service(t, s.project, "producer"), nil, as("producer")), "unblock", "pin", card, "--wait")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("unblock pin %s: %v\n%s", card, err, out)
				}
			}
			base := elsewhere.local.Replace("http://127.0.0.1:8081")
			for _, path := range []string{"/api/queues", "/api/servers", "/api/redis_info", "/api/queues/unblock/completed_tasks"} {
				s.call(t, "GET", base+path)
			}
			for _, node := range nodes {
				nothingDenied(t, node)
			}
		})
	}
}

func setUser(t testing.TB, node *redistest.Server, rules []string) {
	t.Helper()
	args := []any{"ACL", "SETUSER"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := node.Client(t).Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("make the user %s: %v", rules[0], err)
	}
}
