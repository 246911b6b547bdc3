package sandbox

import (
	"errors"
	"fmt"
	"time"
)

// Defaults of [Config], also what a client is configured with to reach a
// sandbox that was started without settings.
const (
	DefaultAddr         = "127.0.0.1:0"
	DefaultClientID     = "sandbox-client"
	DefaultClientSecret = "sandbox-secret"
	DefaultScope        = "api://sandbox/.default"
	DefaultTokenTTL     = time.Hour
	DefaultMaxTries     = 3
	DefaultLedgerLimit  = 200_000
)

// Profile is a deployment whose documented differences the sandbox shows.
type Profile string

// The profiles. They differ in reading the PIN and in what an unblock of a
// card that is not blocked gets.
const (
	// ProfileDev is the zero profile: the PIN can be read, an unblock of a
	// card that is not blocked is a 204 and fills its try counter.
	ProfileDev Profile = "dev"
	// ProfileUAT has no PIN route: reading the PIN is the gateway's 404.
	ProfileUAT Profile = "uat"
	// ProfileForbidden has the PIN route and refuses it: 403.
	ProfileForbidden Profile = "forbidden"
	// ProfileStrict is ProfileDev, but an unblock of a card that is not
	// blocked is a 409.
	ProfileStrict Profile = "strict"
)

// Config sets up a [Sandbox]. The zero value is a working one.
type Config struct {
	// Addr is the TCP address that Start and Run listen on; empty means
	// 127.0.0.1 and a free port. Handler does not use it.
	Addr string
	// ClientID, ClientSecret and Scope are what the token endpoint accepts;
	// empty means the defaults of this package.
	ClientID, ClientSecret, Scope string
	// SubscriptionKey is required as Ocp-Apim-Subscription-Key on card calls
	// when it is not empty.
	SubscriptionKey string
	// TokenTTL is how long an access token is good for; 0 means one hour,
	// otherwise whole seconds from 1 s to 24 h.
	TokenTTL time.Duration
	// Seed decides derived PINs, chaos and fault probabilities. Two sandboxes
	// with one seed fail the same calls of the same cards, however the calls
	// interleave.
	Seed uint64
	// MaxTries is what an unblock resets the try counter to; 0 means 3, at
	// most 99.
	MaxTries int
	// Latency is added to every card call before it is executed, at most one
	// minute; 0 means none.
	Latency time.Duration
	// Profile is the deployment to imitate; empty means ProfileDev.
	Profile Profile
	// LedgerLimit is how many entries the ledger keeps; 0 means 200,000.
	// Beyond it the oldest are forgotten and counted.
	LedgerLimit int
	// Now is the clock of token expiry and ledger times; nil means time.Now.
	// It must be safe for concurrent use. Delays use real timers.
	Now func() time.Time
	// Log, when not nil, gets one line per finished request, without a line
	// end, with the public token masked. It must be safe for concurrent use.
	Log func(string)
	// Observe, when not nil, gets a copy of an entry when it is made, when its
	// call is executed and when it ends, so that a test can wait for a call
	// instead of polling. It is called on the request's goroutine with no lock
	// held and must be safe for concurrent use.
	Observe func(Entry)
}

// withDefaults returns a copy of c with its zero values filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.Addr, DefaultAddr)
	setDefault(&c.ClientID, DefaultClientID)
	setDefault(&c.ClientSecret, DefaultClientSecret)
	setDefault(&c.Scope, DefaultScope)
	setDefault(&c.TokenTTL, DefaultTokenTTL)
	setDefault(&c.MaxTries, DefaultMaxTries)
	setDefault(&c.Profile, ProfileDev)
	setDefault(&c.LedgerLimit, DefaultLedgerLimit)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports every field that is out of bounds, joined.
func (c Config) validate() error {
	var errs []error
	if c.TokenTTL < time.Second || c.TokenTTL > 24*time.Hour || c.TokenTTL%time.Second != 0 {
		errs = append(errs, fmt.Errorf("field TokenTTL is %v: want whole seconds from 1s to 24h", c.TokenTTL))
	}
	if c.MaxTries < 1 || c.MaxTries > maxTriesBound {
		errs = append(errs, fmt.Errorf("field MaxTries is %d: want 1 to %d", c.MaxTries, maxTriesBound))
	}
	if c.Latency < 0 || c.Latency > time.Minute {
		errs = append(errs, fmt.Errorf("field Latency is %v: want 0 to 1m", c.Latency))
	}
	if c.LedgerLimit < 1 {
		errs = append(errs, fmt.Errorf("field LedgerLimit is %d: want at least 1", c.LedgerLimit))
	}
	switch c.Profile {
	case ProfileDev, ProfileUAT, ProfileForbidden, ProfileStrict:
	default:
		errs = append(errs, fmt.Errorf("field Profile is %q: want dev, uat, forbidden or strict", c.Profile))
	}
	if len(errs) > 0 {
		return fmt.Errorf("sandbox: configuration: %w", errors.Join(errs...))
	}
	return nil
}
