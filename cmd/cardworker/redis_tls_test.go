package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redistest"
)

// Redis has no plain port and asks for a certificate.
func TestRedisTLS_WorkerAndProducersNeedNothingElse(t *testing.T) {
	t.Parallel()
	server := redistest.StartTLS(t, redistest.NewCA(t), "--requirepass", "canary7f3a")
	environ := newMini(t, nil).environ(server.URL())
	worker := startWorker(t, environ)
	got := cli(t, environ, "unblock", "pin", cardBlocked, "--wait", "-o", "json")
	if got.code != exitOK || !strings.Contains(got.stdout, `"state":"succeeded"`) {
		t.Errorf("unblock over TLS: %s\nthe worker says:\n%s", got, worker.stderr)
	}
	clean(t, "the log", worker.stderr.String()+got.stderr, "canary7f3a")
	for line := range strings.Lines(worker.stderr.String()) {
		if strings.Contains(line, "Redis setting ") && !strings.Contains(line, "appendonly") {
			t.Errorf("the worker warns: %s", line)
		}
	}
}

func TestRedisTLS_CertificateThatDoesNotFitIsOneSentence(t *testing.T) {
	t.Parallel()
	ca := redistest.NewCA(t)
	server := redistest.StartTLS(t, ca)
	hour := time.Now().Add(time.Hour)
	cert, key := ca.Issue(t, hour)
	oldCert, oldKey := ca.Issue(t, time.Now().Add(-time.Hour))
	stranger := redistest.NewCA(t)
	foreignCert, foreignKey := stranger.Issue(t, hour)
	// Whoever starts a server has to be able to ask it whether it is up: this one has a certificate that is
	// good for the start.
	expired := redistest.StartTLS(t, ca)
	if err := expired.Client(t).Do(t.Context(), "CONFIG", "SET", "tls-cert-file", oldCert, "tls-key-file", oldKey).Err(); err != nil {
		t.Fatal(err)
	}

	const unknownCA = "the TLS certificate of the server is from a CA that is not trusted here: give this CA as ?ca_file="
	for name, tc := range map[string]struct {
		files url.Values
		want  string
	}{
		"CA of somebody else":          {url.Values{"ca_file": {stranger.File}, "cert_file": {cert}, "key_file": {key}}, unknownCA},
		"no CA":                        {url.Values{"cert_file": {cert}, "key_file": {key}}, unknownCA},
		"other host":                   {url.Values{"ca_file": {ca.File}, "cert_file": {cert}, "key_file": {key}, "server_name": {"redis.example"}}, "the TLS certificate of the server is for another host name: correct the host, or give the name that is in the certificate as ?server_name=: it is for 127.0.0.1"},
		"no certificate":               {url.Values{"ca_file": {ca.File}}, "the server asks for a TLS client certificate: give one as ?cert_file= and ?key_file="},
		"certificate of somebody else": {url.Values{"ca_file": {ca.File}, "cert_file": {foreignCert}, "key_file": {foreignKey}}, "the server refuses the TLS client certificate: give one that is from its CA as ?cert_file= and ?key_file="},
		"expired certificate":          {url.Values{"ca_file": {ca.File}, "cert_file": {oldCert}, "key_file": {oldKey}}, "a TLS certificate has expired or is not valid yet: renew it, or correct the clock: it is the one in cert_file"},
		"key of another certificate":   {url.Values{"ca_file": {ca.File}, "cert_file": {cert}, "key_file": {oldKey}}, "cert_file and key_file cannot be used: tls: private key does not match public key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unusable(t, "rediss://"+server.Addr+"/0?"+tc.files.Encode(), tc.want)
		})
	}
	t.Run("expired server", func(t *testing.T) {
		t.Parallel()
		files := url.Values{"ca_file": {ca.File}, "cert_file": {cert}, "key_file": {key}}
		unusable(t, "rediss://"+expired.Addr+"/0?"+files.Encode(), "a TLS certificate has expired or is not valid yet: renew it, or correct the clock: it is the one of the server")
	})
}

// unusable wants the worker and a producer to say it in one sentence, and to end.
func unusable(t testing.TB, redisURL, want string) {
	t.Helper()
	for _, args := range []string{"worker", "unblock pin " + cardBlocked + " -o json"} {
		got := cli(t, append(complete(), "REDIS_URL="+redisURL), strings.Fields(args)...)
		line := one(t, "stderr", got.stderr)
		if got.code != exitError || got.stdout != "" || !strings.Contains(line, want) || strings.Count(line, "REDIS_URL") != 1 {
			t.Errorf("cardworker %s: want exit code 1 and one sentence with %q: %s", args, want, got)
		}
	}
}
