package payblr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults and bounds of [Config].
const (
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = 5 * time.Minute

	// DefaultMaxConnsPerHost serves twice the 256 calls that a worker process
	// has in flight by default, so that HTTP/1.1 never waits for a connection.
	DefaultMaxConnsPerHost = 512

	// DefaultUserAgent is sent when Config.UserAgent is empty.
	DefaultUserAgent = "cardworker-payblr/1"
)

// Config configures a [Client]. New copies it.
type Config struct {
	// BaseURL is the API's address, to which /thr/... is appended, so it may not
	// end in /thr itself. Required.
	// https; http only to a loopback address or a host name without a dot (as
	// container networks give), because access tokens travel on it.
	BaseURL string
	// TokenURL is the OAuth 2.0 token endpoint. Required; same rule.
	TokenURL string
	// ClientID and ClientSecret authenticate to the token endpoint, in the form
	// body as Microsoft Entra ID wants them. Required.
	ClientID     string
	ClientSecret Secret
	// Scope is asked for with each token, for Entra api://<app-id>/.default;
	// several are separated by spaces. Empty sends no scope, which Entra refuses.
	Scope string
	// SubscriptionKey is sent as Ocp-Apim-Subscription-Key with API calls, not
	// to the token endpoint. Optional.
	SubscriptionKey Secret
	// Timeout bounds one HTTP call from the search for a connection to the end
	// of the body. 0 = DefaultTimeout; at most MaxTimeout. A method may make up
	// to four calls: token, API, token, API.
	Timeout time.Duration
	// MaxConnsPerHost bounds the connections to each host, all of which are kept
	// while idle. With HTTP/2 one connection carries many calls. 0 =
	// DefaultMaxConnsPerHost.
	MaxConnsPerHost int
	// Observe, if set, is called once for each HTTP request made, when it ends,
	// from the goroutine that made it. It must be quick and safe for concurrent use.
	Observe func(Call)
	// Gate, if set, is asked before each API request (not token exchange), when
	// an access token is at hand; a rate limiter waits here. ctx ends when the
	// caller's does and at the StartBefore limit. Its error stops the call with
	// ReasonGateRefused and is wrapped. It must be safe for concurrent use, and
	// its error's text must be fit to print.
	Gate func(ctx context.Context, call CallName) error
	// UserAgent; empty = DefaultUserAgent.
	UserAgent string
}

// withDefaults returns a copy with zero values filled in.
func (c Config) withDefaults() Config {
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxConnsPerHost == 0 {
		c.MaxConnsPerHost = DefaultMaxConnsPerHost
	}
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	if c.Observe == nil {
		c.Observe = func(Call) {}
	}
	if c.Gate == nil {
		c.Gate = func(context.Context, CallName) error { return nil }
	}
	return c
}

// validate returns all that is wrong, joined. It repeats no value, because a
// secret set in the wrong field would be repeated with it.
func (c Config) validate() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf("payblr: "+format, args...)) }

	if why := checkURL(c.BaseURL); why != "" {
		add("BaseURL %s", why)
	} else if strings.Contains(c.BaseURL, "?") {
		add("BaseURL must have no query: paths are appended to it")
	} else if endsInAPI(c.BaseURL) {
		add("BaseURL must be given without /thr, which is appended to it: with two of them every card would be unknown")
	}
	if why := checkURL(c.TokenURL); why != "" {
		add("TokenURL %s", why)
	}
	for name, value := range map[string]string{"ClientID": c.ClientID, "ClientSecret": c.ClientSecret.Reveal()} {
		if value == "" {
			add("%s is required", name)
		}
		if hasControl(value) {
			add("%s must hold no line break or other control character; was a file read with its last newline?", name)
		}
	}
	if hasControl(c.Scope) {
		add("Scope must hold no control character")
	}
	if !headerSafe(c.SubscriptionKey.Reveal()) {
		add("SubscriptionKey must be printable ASCII without spaces; was a file read with its last newline?")
	}
	if c.Timeout < 0 || c.Timeout > MaxTimeout {
		add("Timeout = %v, want more than 0 and at most %v (0 means %v)", c.Timeout, MaxTimeout, DefaultTimeout)
	}
	if c.MaxConnsPerHost < 0 {
		add("MaxConnsPerHost = %d, want 1 or more (0 means %d)", c.MaxConnsPerHost, DefaultMaxConnsPerHost)
	}
	if !headerSafe(strings.ReplaceAll(c.UserAgent, " ", "")) {
		add("UserAgent must be printable ASCII")
	}
	return errors.Join(problems...)
}

// checkURL says what is wrong with an endpoint's address, "" if nothing.
func checkURL(raw string) string {
	if raw == "" {
		return "is required"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return "is not an absolute URL such as https://gateway.example"
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "must start with https://"
	case u.User != nil:
		return "must hold no user name or password; they would end up in logs"
	case u.Fragment != "":
		return "must hold no fragment (#)"
	case u.Scheme == "http" && !mayBePlain(u.Hostname()):
		return "must start with https://: http is taken only for a loopback address or a host name without a dot"
	}
	return ""
}

// endsInAPI reports whether an address goes on into the paths of the API, whose
// documentation shows them whole.
func endsInAPI(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	path := strings.ToLower(strings.TrimRight(u.Path, "/") + "/")
	return strings.HasSuffix(path, "/thr/") || strings.Contains(path, "/thr/thredd/")
}

// mayBePlain reports whether http:// is tolerable to this host.
func mayBePlain(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return !strings.ContainsAny(host, ".:")
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// headerSafe reports whether s can stand in a header as one word.
func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
