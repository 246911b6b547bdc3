package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const canary = "canary7f3a"

func TestCheckTracing_IsOnWithAnEndpointAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		environ map[string]string
		on      bool
	}{
		"nothing":             {nil, false},
		"no endpoint":         {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": canary}, false},
		"an empty endpoint":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, false},
		"an endpoint":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, true},
		"one for traces":      {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, true},
		"the SDK is disabled": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": canary, "OTEL_SDK_DISABLED": "True"}, false},
		"no exporter":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": canary, "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		on, problems := CheckTracing(tc.environ)
		if on != tc.on || len(problems) > 0 {
			t.Errorf("%s: CheckTracing = %t, %v, want %t without problems", name, on, problems, tc.on)
		}
	}
}

func TestCheckTracing_NamesWhatIsWrongAndRepeatsNoValue(t *testing.T) {
	t.Parallel()
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, value, says string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be a URL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://" + canary, "must be a URL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + canary + "@collector", "must hold no user name or password"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector?key=" + canary, "must hold no query"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC", "must be http/protobuf, http/json or grpc"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization " + canary, "must be a list of name=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=b,authorization=%zz" + canary, "must be a list of name=value"},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=" + canary, "must be a list of name=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=" + canary + "%0ab", "must be a list of name=value"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "must be a whole number of milliseconds, at least 1"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "at least 1"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "must be gzip or none"},
		{"OTEL_EXPORTER_OTLP_INSECURE", "yes", "must be true or false"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/does/not/" + canary, "must name a file with certificates"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", noPEM, "must name a file with certificates"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", noPEM, "belong together"},
		{"OTEL_SDK_DISABLED", "yes", "must be true or false"},
		{"OTEL_TRACES_EXPORTER", "console", "must be otlp or none"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "must be always_on"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "0", "must be a whole number of spans, at least 1"},
		{"OTEL_BSP_SCHEDULE_DELAY", "5s", "milliseconds"},
		{"OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "at least 0"},
		{"OTEL_RESOURCE_ATTRIBUTES", canary, "must be a list of name=value"},
	} {
		environ := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", tc.name: tc.value}
		on, problems := CheckTracing(environ)
		if !on || len(problems) != 1 || !strings.Contains(problems[tc.name], tc.says) || strings.Contains(fmt.Sprint(problems), canary) {
			t.Errorf("%s=%s: CheckTracing = %t, %q, want one problem: %s", tc.name, tc.value, on, problems, tc.says)
		}
	}
	for _, arg := range []string{"often", "1.1", "-0.1", "NaN"} {
		_, problems := CheckTracing(map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": arg,
		})
		if problems["OTEL_TRACES_SAMPLER_ARG"] != "must be a number between 0 and 1" {
			t.Errorf("a ratio of %s: %v, want it refused", arg, problems)
		}
	}
}

func TestCheckTracing_TakesWhatTheStandardAllows(t *testing.T) {
	t.Parallel()
	on, problems := CheckTracing(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "TRUE",
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, x-tenant=a=b", "OTEL_EXPORTER_OTLP_TIMEOUT": "500",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,team=cards%20and%20pins", "OTEL_SERVICE_NAME": "unblocker",
	})
	if !on || len(problems) > 0 {
		t.Errorf("CheckTracing = %t, %v, want no problem", on, problems)
	}
}

func TestComplaints_AreRareAndQuoteNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said []string
		c := &complaints{warn: func(text string) { said = append(said, text) }}
		for range 100 {
			c.Handle(errors.New(canary))
		}
		if len(said) != 1 {
			t.Fatalf("it says %q, want one line for all", said)
		}
		ctx, cancel := context.WithTimeout(t.Context(), complaintInterval)
		defer cancel()
		<-ctx.Done()
		c.Handle(errors.New(canary))
		if len(said) != 2 {
			t.Errorf("after %s it says %q, want one more line", complaintInterval, said)
		}
	})
	refused := &net.OpError{Op: "dial", Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	for _, tc := range []struct {
		err  error
		says string
	}{
		{fmt.Errorf("Post \"http://%s\": %w", canary, refused), "cannot be reached: dial: connection refused"},
		{errors.Join(errors.New(canary), refused, context.DeadlineExceeded), "connection refused"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: canary}}, "name cannot be resolved: no such host"},
		{fmt.Errorf("%s: %w", canary, context.DeadlineExceeded), "does not answer in time"},
		{status.Error(codes.Unauthenticated, canary), "gRPC status is Unauthenticated"},
		{fmt.Errorf("failed to send to http://%s: %s", canary, http.StatusText(401)), "refuses them"},
	} {
		if got := whyLost(tc.err); !strings.Contains(got, tc.says) || strings.Contains(got, canary) {
			t.Errorf("whyLost(%v) = %q, want %q", tc.err, got, tc.says)
		}
	}
}
