package payblr

import (
	"strings"
	"testing"
	"time"
)

func validConfig() Config {
	return Config{
		BaseURL:      "https://gateway.example",
		TokenURL:     "https://login.example/tenant/oauth2/v2.0/token",
		ClientID:     "client-1",
		ClientSecret: NewSecret(canarySecret),
		Scope:        "api://app/.default",
	}
}

func TestConfig_Valid(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"as it is":         func(*Config) {},
		"path and slash":   func(c *Config) { c.BaseURL = "https://gateway.example:8443/psp/" },
		"like the API":     func(c *Config) { c.BaseURL = "https://thr.example/thread/bathr" },
		"loopback":         func(c *Config) { c.BaseURL = "http://127.0.0.1:8080" },
		"loopback, IPv6":   func(c *Config) { c.BaseURL = "http://[::1]:8080" },
		"localhost":        func(c *Config) { c.BaseURL = "http://localhost:8080" },
		"compose service":  func(c *Config) { c.TokenURL = "http://sandbox:8090/token" },
		"no scope":         func(c *Config) { c.Scope = "" },
		"subscription key": func(c *Config) { c.SubscriptionKey = NewSecret("0123abcd") },
		"bounds":           func(c *Config) { c.Timeout, c.MaxConnsPerHost = MaxTimeout, 1 },
	} {
		cfg := validConfig()
		change(&cfg)
		c, err := New(cfg)
		if err != nil {
			t.Errorf("%s: New = %v, want nil", name, err)
			continue
		}
		c.Close()
	}
}

func TestConfig_InvalidNamesTheFieldAndRepeatsNoValue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no base URL":         {func(c *Config) { c.BaseURL = "" }, "BaseURL is required"},
		"no token URL":        {func(c *Config) { c.TokenURL = "" }, "TokenURL is required"},
		"no client id":        {func(c *Config) { c.ClientID = "" }, "ClientID is required"},
		"no client secret":    {func(c *Config) { c.ClientSecret = Secret{} }, "ClientSecret is required"},
		"newline in secret":   {func(c *Config) { c.ClientSecret = NewSecret(canarySecret + "\n") }, "ClientSecret must hold no line break"},
		"newline in key":      {func(c *Config) { c.SubscriptionKey = NewSecret(canaryKey + "\n") }, "SubscriptionKey must be"},
		"relative":            {func(c *Config) { c.BaseURL = "gateway.example/x" }, "BaseURL is not an absolute URL"},
		"no host":             {func(c *Config) { c.BaseURL = "https://:443" }, "BaseURL is not an absolute URL"},
		"unparsable":          {func(c *Config) { c.BaseURL = "https://%zz" + canarySecret }, "BaseURL is not an absolute URL"},
		"another scheme":      {func(c *Config) { c.BaseURL = "ftp://gateway.example" }, "BaseURL must start with https"},
		"plain http":          {func(c *Config) { c.BaseURL = "http://gateway.example" }, "BaseURL must start with https"},
		"plain http, IPv6":    {func(c *Config) { c.TokenURL = "http://[2001:db8::1]/token" }, "TokenURL must start with https"},
		"plain http, address": {func(c *Config) { c.TokenURL = "http://10.0.0.1/token" }, "TokenURL must start with https"},
		"user in URL":         {func(c *Config) { c.BaseURL = "https://u:" + canarySecret + "@gateway.example" }, "BaseURL must hold no user"},
		"query":               {func(c *Config) { c.BaseURL = "https://gateway.example?a=b" }, "BaseURL must have no query"},
		"path of the API":     {func(c *Config) { c.BaseURL = "https://gateway.example/psp/thr" }, "BaseURL must be given without /thr"},
		"… with a slash":      {func(c *Config) { c.BaseURL = "https://gateway.example/thr/" }, "BaseURL must be given without /thr"},
		"… in capitals":       {func(c *Config) { c.BaseURL = "https://gateway.example/THR" }, "BaseURL must be given without /thr"},
		"… and more of it":    {func(c *Config) { c.BaseURL = "https://gateway.example/thr/thredd/card-pin" }, "BaseURL must be given without /thr"},
		"fragment":            {func(c *Config) { c.BaseURL = "https://gateway.example#a" }, "BaseURL must hold no fragment"},
		"negative timeout":    {func(c *Config) { c.Timeout = -time.Second }, "Timeout = -1s"},
		"long timeout":        {func(c *Config) { c.Timeout = time.Hour }, "at most 5m0s"},
		"negative limit":      {func(c *Config) { c.MaxConnsPerHost = -1 }, "MaxConnsPerHost = -1"},
		"newline in agent":    {func(c *Config) { c.UserAgent = "a\r\nb" }, "UserAgent must be"},
		"newline in scope":    {func(c *Config) { c.Scope = "a\nb" }, "Scope must hold"},
	} {
		cfg := validConfig()
		tc.change(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: New = %v, want %q", name, err, tc.want)
			continue
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats a value: %v", name, err)
		}
	}
}

func TestConfig_AllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Timeout: -1, MaxConnsPerHost: -1})
	if err == nil {
		t.Fatal("New = nil, want six problems")
	}
	for _, field := range []string{"BaseURL", "TokenURL", "ClientID", "ClientSecret", "Timeout", "MaxConnsPerHost"} {
		if !strings.Contains(err.Error(), field+" ") {
			t.Errorf("%v: want %s in it", err, field)
		}
	}
}
