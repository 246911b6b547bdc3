package redisconn_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardworker/cardworker/internal/redisconn"
	"github.com/cardworker/cardworker/internal/redistest"
)

func TestTLS_FilesOfTheURLAreUsed(t *testing.T) {
	t.Parallel()
	ca := redistest.NewCA(t)
	server := redistest.StartTLS(t, ca)
	cert, key := ca.Issue(t, time.Now().Add(time.Hour))
	foreignCert, foreignKey := redistest.NewCA(t).Issue(t, time.Now().Add(time.Hour))
	base := "rediss://" + server.Addr + "/0?"
	files := url.Values{"ca_file": {ca.File}, "cert_file": {cert}, "key_file": {key}}

	check := func(rawURL string) error {
		_, err := open(t, rawURL, impatient).Check(t.Context())
		return err
	}
	if err := check(base + files.Encode()); err != nil {
		t.Errorf("Check with all files: %v", err)
	}
	for name, test := range map[string]struct {
		url  string
		want redisconn.Kind
	}{
		"no CA":               {base + without(files, "ca_file"), redisconn.TLSUnknownCA},
		"other name":          {base + files.Encode() + "&server_name=other.example", redisconn.TLSHostName},
		"no certificate":      {base + without(files, "cert_file", "key_file"), redisconn.TLSClientMissing},
		"foreign certificate": {base + url.Values{"ca_file": {ca.File}, "cert_file": {foreignCert}, "key_file": {foreignKey}}.Encode(), redisconn.TLSClientRefused},
		"plain to a TLS port": {"redis://" + server.Addr, redisconn.TLSMismatch},
	} {
		err := check(test.url)
		got := redisconn.KindOf(err)
		// A server may also cut the connection without a word when a client speaks plain.
		if got != test.want && !(test.want == redisconn.TLSMismatch && got == redisconn.Disconnected) {
			t.Errorf("%s: kind of %v = %v, want %v", name, err, got, test.want)
		}
		advice := map[redisconn.Kind]string{
			redisconn.TLSUnknownCA: "this CA as ?ca_file=", redisconn.TLSHostName: "as ?server_name=: it is for 127.0.0.1",
			redisconn.TLSClientMissing: "?cert_file= and ?key_file=", redisconn.TLSClientRefused: "from its CA as ?cert_file=",
		}[test.want]
		if err != nil && (!strings.Contains(err.Error(), "rediss://") || !strings.Contains(err.Error(), advice)) {
			t.Errorf("%s: error = %q, want it to say what to change: %q", name, err, advice)
		}
	}
}

// Before TLS 1.3 no alert says that a client certificate is missing.
func TestTLS_OldServerThatMissesACertificateGetsTheGeneralAdvice(t *testing.T) {
	t.Parallel()
	ca := redistest.NewCA(t)
	server := redistest.StartTLS(t, ca, "--tls-protocols", "TLSv1.2")
	_, err := open(t, "rediss://"+server.Addr+"/0?ca_file="+url.QueryEscape(ca.File), impatient).Check(t.Context())
	if redisconn.KindOf(err) != redisconn.TLSCertificate || !strings.Contains(err.Error(), "?cert_file= and ?key_file=") {
		t.Errorf("Check = %v, want TLSCertificate and that a client certificate may be what is missing", err)
	}
}

func TestTLS_BadCAFileIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := redisconn.Open("rediss://h?ca_file="+url.QueryEscape(empty), redisconn.Options{})
	if err == nil || !strings.Contains(err.Error(), "holds no PEM certificate") {
		t.Errorf("Open = %v, want it to say that the file holds no certificate", err)
	}
}

func without(values url.Values, names ...string) string {
	rest := url.Values{}
	for name, v := range values {
		rest[name] = v
	}
	for _, name := range names {
		rest.Del(name)
	}
	return rest.Encode()
}
