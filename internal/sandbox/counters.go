package sandbox

// CallCount counts the requests of one kind since the last reset. Received is
// the sum of Answered, Dropped, Abandoned and those still open.
type CallCount struct {
	Received  uint64 `json:"received"`
	Applied   uint64 `json:"applied"` // unblocks executed
	Answered  uint64 `json:"answered"`
	Dropped   uint64 `json:"dropped"`
	Abandoned uint64 `json:"abandoned"`
	Faults    uint64 `json:"faults"` // hit by a fault of any origin
	// Fees is how many succeeded (2xx) in a call that can be charged to the
	// cardholder: status reads and unblocks.
	Fees uint64 `json:"fees"`
}

// Counters is what the sandbox has seen since the last reset.
type Counters struct {
	Calls map[Call]CallCount `json:"calls"` // every kind, also those at zero
	// Fees is the sum over all calls: what a flow may cost a cardholder.
	Fees uint64 `json:"fees"`
	// ConnectionsAccepted and ConnectionsOpen are of the sandbox's own
	// listener; they stay zero when only Handler is used, and a reset leaves
	// them alone.
	ConnectionsAccepted int64 `json:"connections_accepted"`
	ConnectionsOpen     int64 `json:"connections_open"`
}

// count adds an ended entry; uncount takes it away again.
func (n *CallCount) count(e *Entry)   { n.tally(e, 1) }
func (n *CallCount) uncount(e *Entry) { n.tally(e, ^uint64(0)) }

func (n *CallCount) tally(e *Entry, delta uint64) {
	switch e.Outcome {
	case OutcomeAnswered:
		n.Answered += delta
		if e.Call.bearsFee() && e.Status/100 == 2 {
			n.Fees += delta
		}
	case OutcomeDropped:
		n.Dropped += delta
	case OutcomeAbandoned:
		n.Abandoned += delta
	}
}

func (l *ledger) counters() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := Counters{Calls: make(map[Call]CallCount, len(calls))}
	for i, call := range calls {
		c.Calls[call] = l.counts[i]
		c.Fees += l.counts[i].Fees
	}
	return c
}
