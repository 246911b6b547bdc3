package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
)

func classifyTLS(err error) Kind {
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.As(err, &record):
		return TLSMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired, expiredAlert(err):
		return TLSExpired
	case errors.As(err, &authority):
		return TLSUnknownCA
	case errors.As(err, &hostname):
		return TLSHostName
	case errors.As(err, &verification), errors.As(err, &invalid):
		return TLSCertificate
	case strings.Contains(text, alertPrefix):
		return classifyAlert(text)
	case !strings.Contains(text, "redis: can't parse") && !strings.Contains(text, "redis: invalid reply"):
		return Unknown
	case strings.Contains(text, `"\x15\x03`):
		return TLSMismatch // a TLS alert where a reply should be: 0x15, then the version
	default:
		return NotRedis
	}
}

// alertPrefix is how crypto/tls begins what the other side says; the type of the alert is not exported.
const alertPrefix = "remote error: tls: "

// clientRefused are the alerts about a certificate that the client has shown.
var clientRefused = []string{"bad certificate", "unsupported certificate", "revoked certificate", "unknown certificate authority", "unknown certificate"}

// classifyAlert tells what the server has against the client. Without a certificate TLS 1.2 has no words for it but
// "handshake failure", which may be something else.
func classifyAlert(text string) Kind {
	_, alert, _ := strings.Cut(text, alertPrefix)
	if strings.HasPrefix(alert, "certificate required") {
		return TLSClientMissing
	}
	for _, refused := range clientRefused {
		if strings.HasPrefix(alert, refused) {
			return TLSClientRefused
		}
	}
	return TLSCertificate
}

// expiredAlert tells whether the server says that the certificate of the client has expired.
func expiredAlert(err error) bool {
	return strings.Contains(err.Error(), alertPrefix+"expired certificate")
}

// certificateNames says whom a certificate is for that has another name than the host.
func certificateNames(err error) string {
	var hostname x509.HostnameError
	if !errors.As(err, &hostname) || hostname.Certificate == nil {
		return ""
	}
	names := slices.Clone(hostname.Certificate.DNSNames)
	for _, ip := range hostname.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "it has no name among its subject alternative names"
	}
	return harmless("it is for " + strings.Join(names, ", "))
}
