package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// CA issues certificates for a test.
type CA struct {
	// File is its own certificate, as PEM.
	File string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA returns an authority that nobody else trusts.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{File: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	ca.key, _ = newKey(t)
	der := sign(t, template, template, ca.key, ca.key)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := writePEM(ca.File, "CERTIFICATE", der); err != nil {
		t.Fatal(err)
	}
	ca.cert = cert
	return ca
}

// Issue writes a certificate for 127.0.0.1, for servers and clients, and its key. It is valid until then.
func (ca *CA) Issue(t testing.TB, until time.Time) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	key, der := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if err := writePEM(certFile, "CERTIFICATE", sign(t, template, ca.cert, key, ca.key)); err != nil {
		t.Fatal(err)
	}
	if err := writePEM(keyFile, "PRIVATE KEY", der); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

func newKey(t testing.TB) (key *ecdsa.PrivateKey, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	return key, der
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// tlsFiles is what server and clients of a server that speaks TLS prove themselves with.
type tlsFiles struct {
	ca, cert, key string
	client        *tls.Config
}

// StartTLS is Start for a server that has no plain port and asks its clients for a certificate of the same
// authority. The URL names the files.
func StartTLS(t testing.TB, ca *CA, args ...string) *Server {
	t.Helper()
	f := &tlsFiles{ca: ca.File}
	f.cert, f.key = ca.Issue(t, time.Now().Add(time.Hour))
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	f.client = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	return begin(t, &Server{Password: valueOf(args, "--requirepass"), tls: f}, args)
}

// listen returns the arguments that open the port.
func (f *tlsFiles) listen(port int) []string {
	if f == nil {
		return []string{"--port", strconv.Itoa(port)}
	}
	return []string{
		"--port", "0", "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "yes",
		"--tls-cert-file", f.cert, "--tls-key-file", f.key, "--tls-ca-cert-file", f.ca,
	}
}

func (f *tlsFiles) config() *tls.Config {
	if f == nil {
		return nil
	}
	return f.client.Clone()
}

// query returns the options of the URL.
func (f *tlsFiles) query() string {
	return url.Values{"ca_file": {f.ca}, "cert_file": {f.cert}, "key_file": {f.key}}.Encode()
}
