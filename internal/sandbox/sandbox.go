package sandbox

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Sandbox is one Payblr API with its cards, faults and ledger. All methods are
// safe for concurrent use.
type Sandbox struct {
	cfg     Config
	cards   cards
	tokens  accessTokens
	script  script
	chaos   atomic.Pointer[Chaos]
	ledger  ledger
	strays  [len(calls)]atomic.Uint64 // calls that belong to no card, by kind
	control http.Handler

	stopping chan struct{} // closed by Stop: ends every delay and hang
	stopOnce sync.Once
	server   listener
}

// New makes a sandbox that serves nothing yet: use Handler, or Start. The
// error names every field of cfg that is out of bounds.
func New(cfg Config) (*Sandbox, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Sandbox{
		cfg:      cfg,
		cards:    cards{byToken: make(map[string]*card), maxTries: cfg.MaxTries},
		tokens:   accessTokens{expiry: make(map[string]time.Time)},
		script:   script{seed: cfg.Seed},
		ledger:   ledger{limit: cfg.LedgerLimit, now: cfg.Now, observe: cfg.Observe},
		stopping: make(chan struct{}),
	}
	s.control = s.controlAPI()
	return s, nil
}

// Handler serves the API and the control API. Faults that drop connections
// need a server whose connections can be hijacked, which HTTP/1 ones can;
// elsewhere the stream is aborted instead. Stop ends its delays and hangs too.
func (s *Sandbox) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// SetCard creates or replaces a card and starts its lags and call counts
// afresh. It refuses a state that no card can have.
func (s *Sandbox) SetCard(c Card) error {
	return s.UpdateCard(c.PublicToken, func(state *Card) error {
		*state = c
		return nil
	})
}

// UpdateCard changes a card as one step: no call sees it half changed. A token
// that is no card yet becomes one, unblocked with all tries left, before
// mutate. An error of mutate is returned and nothing changes. mutate must not
// use the sandbox.
func (s *Sandbox) UpdateCard(publicToken string, mutate func(*Card) error) error {
	return s.cards.update(publicToken, mutate)
}

// Card returns the true state of a card without its PIN; ok is false when the
// token is no card. A token of a magic range becomes a card by being asked for.
func (s *Sandbox) Card(publicToken string) (state Card, ok bool) {
	c := s.cards.find(publicToken)
	if c == nil {
		return Card{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state = c.state.clone()
	state.PINValue = ""
	return state, true
}

// PINOf returns the PIN of a card as the PIN call would give it, for a test to
// look for where it must not be; ok is false when the token is no card.
func (s *Sandbox) PINOf(publicToken string) (pin PIN, ok bool) {
	c := s.cards.find(publicToken)
	if c == nil {
		return "", false
	}
	return s.pinOf(c), true
}

// AddFault appends faults to the script: all, or none with an error when one of
// them is wrong. For each call the first fault that hits is taken.
func (s *Sandbox) AddFault(faults ...Fault) error { return s.script.add(faults...) }

// Faults returns the scripted faults that are not used up.
func (s *Sandbox) Faults() []Fault { return s.script.list() }

// ClearFaults removes every scripted fault. Calls that one already holds up
// are not released.
func (s *Sandbox) ClearFaults() { s.script.clear() }

// SetChaos replaces the chaos setting; the zero value ends chaos.
func (s *Sandbox) SetChaos(c Chaos) error {
	if err := c.validate(); err != nil {
		return err
	}
	s.chaos.Store(new(c.clone()))
	return nil
}

// Chaos returns the chaos setting.
func (s *Sandbox) Chaos() Chaos {
	if c := s.chaos.Load(); c != nil {
		return c.clone()
	}
	return Chaos{}
}

// Ledger returns every entry it still holds, in the order of arrival.
func (s *Sandbox) Ledger() []Entry { return s.ledger.query(LedgerQuery{}).Entries }

// QueryLedger returns the entries that q selects.
func (s *Sandbox) QueryLedger(q LedgerQuery) LedgerPage { return s.ledger.query(q) }

// ResetLedger forgets all entries and zeroes the counters. Requests that are
// still open are not counted any more.
func (s *Sandbox) ResetLedger() { s.ledger.reset() }

// Counters returns how often each call was made since the last reset.
func (s *Sandbox) Counters() Counters {
	c := s.ledger.counters()
	c.ConnectionsAccepted, c.ConnectionsOpen = s.server.connections()
	return c
}

// RevokeTokens makes every access token invalid before its time and returns
// how many there were.
func (s *Sandbox) RevokeTokens() int { return s.tokens.revoke() }

// Reset makes the sandbox as good as new: cards, faults, chaos, ledger,
// counters and access tokens. A running listener goes on.
func (s *Sandbox) Reset() {
	s.script.clear()
	s.chaos.Store(nil)
	s.cards.clear()
	s.tokens.revoke()
	for i := range s.strays {
		s.strays[i].Store(0)
	}
	s.ledger.reset()
}
