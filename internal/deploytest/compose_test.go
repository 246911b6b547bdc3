package deploytest

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// pinned is an image with at least a minor version: repository:1.2…
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$`)

func TestCompose_HasTheWholeSystem(t *testing.T) {
	t.Parallel()
	got := load(t).ServiceNames()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"monitor", "producer", "redis", "sandbox", "secrets", "worker"}, got); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestCompose_EveryServiceIsPinnedConfinedAndBounded(t *testing.T) {
	t.Parallel()
	for name, s := range load(t).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		}
		if !s.ReadOnly {
			t.Errorf("%s: its file system can be written", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s: drops the capabilities %v, want ALL", name, s.CapDrop)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: may gain privileges", name)
		}
		if s.Privileged || s.NetworkMode == "host" || s.Pid != "" || s.Ipc != "" {
			t.Errorf("%s: shares a namespace of the host", name)
		}
		if s.MemLimit == 0 || s.PidsLimit == 0 {
			t.Errorf("%s: memory limit %d, process limit %d, want both set", name, s.MemLimit, s.PidsLimit)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			t.Errorf("%s: its log grows without bound", name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				t.Errorf("%s: may write to %s of the host", name, v.Source)
			}
		}
		if name == "secrets" {
			continue // runs once, as root, without a network, before the others
		}
		if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s: runs as %q, want a user that is not root", name, s.User)
		}
		if name == "producer" {
			continue // a command that ends
		}
		if s.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s: restart policy %q, want %s", name, s.Restart, types.RestartPolicyUnlessStopped)
		}
		if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) == 0 || s.HealthCheck.Timeout == nil {
			t.Errorf("%s: has no health check with a timeout", name)
		}
		if s.StopGracePeriod == nil {
			t.Errorf("%s: has no stop grace period", name)
		}
	}
}

func TestCompose_PublishesOnLoopbackOnlyAndRedisNotAtAll(t *testing.T) {
	t.Parallel()
	project := load(t)
	published := map[string]bool{}
	for name, s := range project.Services {
		for _, port := range s.Ports {
			published[name] = true
			if ip, err := netip.ParseAddr(port.HostIP); err != nil || !ip.IsLoopback() {
				t.Errorf("%s: port %s is published on %q, want loopback", name, port.Published, port.HostIP)
			}
		}
	}
	if diff := cmp.Diff(map[string]bool{"monitor": true, "sandbox": true}, published); diff != "" {
		t.Errorf("services with published ports (-want +got):\n%s", diff)
	}
	redis := service(t, project, "redis")
	for network := range redis.Networks {
		if !project.Networks[network].Internal {
			t.Errorf("redis is on %s, which is not an internal network", network)
		}
	}
}

func TestCompose_WaitsForWhatItNeeds(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, want := range map[string]map[string]string{
		"redis":   {"secrets": types.ServiceConditionCompletedSuccessfully},
		"worker":  {"redis": types.ServiceConditionHealthy, "sandbox": types.ServiceConditionHealthy, "secrets": types.ServiceConditionCompletedSuccessfully},
		"monitor": {"redis": types.ServiceConditionHealthy, "secrets": types.ServiceConditionCompletedSuccessfully},
		"sandbox": {"secrets": types.ServiceConditionCompletedSuccessfully},
	} {
		got := map[string]string{}
		for dependency, d := range service(t, project, name).DependsOn {
			got[dependency] = d.Condition
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s waits for (-want +got):\n%s", name, diff)
		}
	}
}

func TestCompose_WorkerMayFinishBeforeItIsKilled(t *testing.T) {
	t.Parallel()
	worker := service(t, load(t), "worker")
	drain, err := time.ParseDuration(variable(t, worker, "WORKER_SHUTDOWN_TIMEOUT"))
	if err != nil {
		t.Fatalf("WORKER_SHUTDOWN_TIMEOUT: %v", err)
	}
	if grace := time.Duration(*worker.StopGracePeriod); grace < drain+5*time.Second {
		t.Errorf("stop_grace_period = %v, want at least 5s more than WORKER_SHUTDOWN_TIMEOUT = %v", grace, drain)
	}
}

// TestCompose_TracesWhereTheHostSaysSo: and writes down no address and no credential of a collector.
func TestCompose_TracesWhereTheHostSaysSo(t *testing.T) {
	t.Parallel()
	worker := service(t, load(t), "worker")
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
	} {
		if value, passed := worker.Environment[name]; !passed || value != nil {
			t.Errorf("worker: %s is passed on: %t, and set: %t, want it passed on and not set", name, passed, value != nil)
		}
	}
}

// TestCompose_NoSecretIsWrittenDown: whatever is called a secret is a file that is generated.
func TestCompose_NoSecretIsWrittenDown(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`(?i)password|secret|subscription_key`)
	for name, s := range load(t).Services {
		for key, value := range s.Environment {
			if value == nil || *value == "" {
				continue
			}
			if secret.MatchString(key) && !strings.HasSuffix(key, "_FILE") {
				t.Errorf("%s: %s is written in the compose file", name, key)
			}
			if u, err := url.Parse(*value); err == nil && u.User != nil {
				if _, ok := u.User.Password(); ok {
					t.Errorf("%s: %s holds credentials", name, key)
				}
			}
			if strings.HasSuffix(key, "_FILE") && !strings.HasPrefix(*value, secretsDir+"/") {
				t.Errorf("%s: %s = %s, want a file below %s", name, key, *value, secretsDir)
			}
		}
	}
}

// TestCompose_EachServiceIsAUserOfItsOwnInRedis: and it can read its own password, nobody else's.
func TestCompose_EachServiceIsAUserOfItsOwnInRedis(t *testing.T) {
	t.Parallel()
	project := load(t)
	for _, name := range []string{"worker", "producer", "monitor"} {
		s := service(t, project, name)
		if got, want := variable(t, s, "REDIS_URL"), "redis://"+name+"@redis:6379/0"; got != want {
			t.Errorf("%s: REDIS_URL = %s, want %s", name, got, want)
		}
		if got, want := variable(t, s, "REDIS_PASSWORD_FILE"), secretsDir+"/"+name+"/redis_password"; got != want {
			t.Errorf("%s: REDIS_PASSWORD_FILE = %s, want %s", name, got, want)
		}
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			owner, secret := strings.CutPrefix(v.Target, secretsDir+"/")
			if name == "secrets" || !secret || owner == name || owner == "sandbox" && name == "worker" {
				continue
			}
			t.Errorf("%s: may read the secrets of %s", name, owner)
		}
	}
}

// TestCompose_ProducerTakesTheDurabilityOfTheCaller: it is what accepts here.
func TestCompose_ProducerTakesTheDurabilityOfTheCaller(t *testing.T) {
	t.Parallel()
	for want, set := range map[string][]string{"memory": nil, "disk": {"ACCEPT_DURABILITY=disk"}} {
		if got := variable(t, service(t, load(t, set...), "producer"), "ACCEPT_DURABILITY"); got != want {
			t.Errorf("with %v the producer has %q, want %q", set, got, want)
		}
	}
}

// variable returns an environment variable of a service.
func variable(t testing.TB, s types.ServiceConfig, name string) string {
	t.Helper()
	value := s.Environment[name]
	if value == nil {
		t.Fatalf("%s: %s is not set", s.Name, name)
	}
	return *value
}
