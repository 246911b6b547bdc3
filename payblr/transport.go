package payblr

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxBody bounds what is read of a reply; the API's have a few hundred bytes.
	maxBody = 64 << 10
	// maxHeader bounds a reply's header.
	maxHeader = 64 << 10
	// connectTimeout bounds the dial, and again the TLS handshake, so that with
	// the default Timeout a host that is gone is told from one that is slow.
	connectTimeout = 4 * time.Second
	// idleTimeout stays below the four minutes after which Azure's load
	// balancers drop an idle flow without telling either side.
	idleTimeout = 90 * time.Second
)

// newTransport returns the connection pool of one client. It is used as a
// RoundTripper, without an http.Client: no redirects, no cookies, and no
// *url.Error with the public token in its text.
func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:       proxyForTLS,
		DialContext: dialing(dialer.DialContext),
		// A DialContext of one's own turns HTTP/2 off unless it is asked for.
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: connectTimeout,
		MaxConnsPerHost:     cfg.MaxConnsPerHost,
		// net/http keeps two idle connections per host by default and closes the
		// rest: under load nearly every call would pay for a handshake.
		MaxIdleConnsPerHost:    cfg.MaxConnsPerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		// The replies are too short to gain by compression.
		DisableCompression: true,
		// Without pings an HTTP/2 connection into a black hole is used, and every
		// call on it times out, until the kernel gives up after many minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// proxyForTLS honours HTTPS_PROXY, through which a proxy sees only an encrypted
// tunnel. Plain http goes to neighbours alone, and to no proxy.
func proxyForTLS(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// readBody reads at most maxBody bytes. What was read comes back also with an
// error, which is errBodyTooLarge when there was more.
func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(body) > maxBody {
		return body[:maxBody], errBodyTooLarge
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}
