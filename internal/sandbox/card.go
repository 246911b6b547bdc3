package sandbox

import (
	"fmt"
	"sync"
)

const (
	maxTriesBound  = 99 // the highest try counter a card can be given
	maxPublicToken = 9  // characters (Thredd, PIN Control field table)
)

// Card is the state of one card, as a copy.
type Card struct {
	// PublicToken is 1 to 9 ASCII letters or digits.
	PublicToken string `json:"public_token"`
	// Behaviour is what the card makes the API do; empty in SetCard means
	// none of the troublesome ones.
	Behaviour Behaviour `json:"behaviour"`
	// CVV and PIN are the two things that can be blocked.
	CVV Credential `json:"cvv"`
	PIN Credential `json:"pin"`
	// PINValue is the PIN itself, write-only: it can be set and is never given
	// back. Empty means four digits derived from the seed and the token.
	PINValue PIN `json:"pin_value,omitempty"`
}

// Credential is the block and the try counter of a CVV or a PIN.
type Credential struct {
	Blocked bool `json:"blocked"`
	// RemainingTries is 0 to 99; an unblock sets it to Config.MaxTries.
	RemainingTries int `json:"remaining_tries"`
	// RemainingOfflineTries is the chip's counter, 0 to 99; nil means that a
	// status does not mention it. An unblock leaves it as it is, because the
	// host cannot reach the chip.
	RemainingOfflineTries *int `json:"remaining_offline_tries"`
	// LagReads is how many status reads after an unblock still say Blocked:
	// 0 means as many as the behaviour says, -1 means all.
	LagReads int `json:"lag_reads"`
}

func (c Credential) check(name string) error {
	if c.RemainingTries < 0 || c.RemainingTries > maxTriesBound {
		return fmt.Errorf("%s.remaining_tries is %d: want 0 to %d", name, c.RemainingTries, maxTriesBound)
	}
	if t := c.RemainingOfflineTries; t != nil && (*t < 0 || *t > maxTriesBound) {
		return fmt.Errorf("%s.remaining_offline_tries is %d: want null or 0 to %d", name, *t, maxTriesBound)
	}
	if c.LagReads < -1 {
		return fmt.Errorf("%s.lag_reads is %d: want -1 (all), 0 (as the behaviour says) or a count", name, c.LagReads)
	}
	return nil
}

// checkPublicToken refuses what cannot be a public token. It does not repeat
// the value, which may be a card number.
func checkPublicToken(token string) error {
	if len(token) < 1 || len(token) > maxPublicToken {
		return fmt.Errorf("public token has %d characters: want 1 to 9 letters or digits", len(token))
	}
	for i := range len(token) {
		c := token[i] | 0x20
		if (token[i] < '0' || token[i] > '9') && (c < 'a' || c > 'z') {
			return fmt.Errorf("public token holds something else than letters and digits: want 1 to 9 letters or digits")
		}
	}
	return nil
}

// card is the live state behind a Card.
type card struct {
	mu    sync.Mutex
	state Card
	calls [len(calls)]uint64 // calls so far by kind, for behaviours and chaos
	// cvvView and pinView are what reads still show after an unblock.
	cvvView, pinView staleView
}

// staleView is an older credential that the next reads are answered with.
type staleView struct {
	reads int // reads left; -1 = all
	shown Credential
}

// credential gives the part of the card that a call is about. The caller holds
// the lock.
func (c *card) credential(call Call) (*Credential, *staleView) {
	if call.isCVV() {
		return &c.state.CVV, &c.cvvView
	}
	return &c.state.PIN, &c.pinView
}

// count notes one more call and returns its number, from 1, and the card's
// behaviour.
func (c *card) count(call Call) (nth uint64, b Behaviour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[call.index()]++
	return c.calls[call.index()], c.state.Behaviour
}

// visible is the credential that a status read shows now. It uses up one read
// of a lag. The caller holds the lock.
func (v *staleView) visible(real Credential) Credential {
	if v.reads == 0 {
		return real
	}
	if v.reads > 0 {
		v.reads--
	}
	return v.shown
}

// change blocks or unblocks and starts the lag of an unblock that changed
// something. The caller holds the lock.
func (c *card) change(call Call, block bool, maxTries int) {
	cred, view := c.credential(call)
	old := *cred
	cred.Blocked = block
	if block {
		cred.RemainingTries = 0
		*view = staleView{}
		return
	}
	cred.RemainingTries = maxTries
	if !old.Blocked {
		return // nothing to lag behind; a running lag goes on
	}
	lag := cred.LagReads
	if lag == 0 {
		lag = behaviours[c.state.Behaviour].lagReads
	}
	*view = staleView{reads: lag, shown: old}
}

// cards holds every card that was used or set.
type cards struct {
	mu       sync.RWMutex
	byToken  map[string]*card
	maxTries int
}

// find returns the card of a token, making one where a range holds the token;
// nil when there is none.
func (s *cards) find(token string) *card {
	s.mu.RLock()
	c := s.byToken[token]
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	b, ok := magicBehaviour(token)
	if !ok || behaviours[b].unknown {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byToken[token]; c != nil {
		return c
	}
	c = &card{state: s.fresh(token, b)}
	s.byToken[token] = c
	return c
}

// fresh is a card as its range starts it.
func (s *cards) fresh(token string, b Behaviour) Card {
	t := behaviours[b]
	credential := func() Credential {
		cred := Credential{Blocked: !t.unblocked}
		if t.unblocked {
			cred.RemainingTries = s.maxTries
		}
		return cred
	}
	c := Card{PublicToken: token, Behaviour: b, CVV: credential(), PIN: credential()}
	if t.offlineTries {
		c.PIN.RemainingOfflineTries = new(int)
	}
	return c
}

// update changes a card as one step, creating it when there is none, and
// starts its lags and call counts afresh. When mutate or the check of its
// result fails, nothing changes.
func (s *cards) update(token string, mutate func(*Card) error) error {
	if err := checkPublicToken(token); err != nil {
		return err
	}
	c := s.find(token)
	if c == nil {
		// A card that is in no range is added only once it is known to be right.
		blank := s.fresh(token, BehaviourUnblocked)
		blank.Behaviour = ""
		c = &card{state: blank}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.clone()
	if err := mutate(&next); err != nil {
		return err
	}
	if next.PublicToken != token {
		return fmt.Errorf("public_token in the card differs from the one it is set for")
	}
	if err := next.settle(); err != nil {
		return err
	}
	c.state, c.calls, c.cvvView, c.pinView = next.clone(), [len(calls)]uint64{}, staleView{}, staleView{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byToken[token] = c
	return nil
}

// settle fills in an empty behaviour and checks the rest.
func (c *Card) settle() error {
	if c.Behaviour == "" {
		c.Behaviour = BehaviourUnblocked
		if c.CVV.Blocked || c.PIN.Blocked {
			c.Behaviour = BehaviourBlocked
		}
	}
	for _, err := range []error{c.Behaviour.check(), c.CVV.check("cvv"), c.PIN.check("pin"), c.PINValue.check()} {
		if err != nil {
			return err
		}
	}
	return nil
}

// clear forgets every card.
func (s *cards) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byToken = make(map[string]*card)
}

// clone copies the card with nothing shared.
func (c Card) clone() Card {
	for _, cred := range []*Credential{&c.CVV, &c.PIN} {
		if cred.RemainingOfflineTries != nil {
			cred.RemainingOfflineTries = new(*cred.RemainingOfflineTries)
		}
	}
	return c
}
