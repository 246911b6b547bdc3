package sandbox

import (
	"sync"
	"time"
)

// Outcome is how a request ended.
type Outcome string

// The outcomes. An answer is noted just before its first byte is sent, a drop
// just before the connection goes, so that whoever has seen either finds it in
// the ledger.
const (
	OutcomeOpen      Outcome = "open"      // not ended yet
	OutcomeAnswered  Outcome = "answered"  // a whole answer was sent
	OutcomeDropped   Outcome = "dropped"   // the sandbox ended the connection without a whole answer
	OutcomeAbandoned Outcome = "abandoned" // the client left before a whole answer was sent
)

// Entry is what the sandbox, as the bank's side, knows about one request.
type Entry struct {
	// Seq counts requests in the order of their arrival, from 1; it goes on
	// when the ledger is reset.
	Seq  uint64 `json:"seq"`
	Call Call   `json:"call"`
	// PublicToken is the whole token of a card call, empty for others.
	PublicToken string `json:"public_token,omitempty"`
	// Request is the method and path of a CallOther, empty for others.
	Request    string    `json:"request,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	// AppliedAt is when an unblock (or a block) was executed, whether or not
	// it changed anything; nil when it was not, and for every other call.
	AppliedAt *time.Time `json:"applied_at"`
	// ReadAt is when a status read looked at the card, which is after the
	// latency; nil when it did not, and for every other call.
	ReadAt *time.Time `json:"read_at"`
	// EndedAt is when the outcome was decided; nil while open.
	EndedAt *time.Time `json:"ended_at"`
	// AnsweredAt is EndedAt of an answered request; nil for others.
	AnsweredAt *time.Time `json:"answered_at"`
	// Status is the HTTP status of the answer, also of one of which only a
	// part was sent; 0 when there was none.
	Status  int     `json:"status"`
	Outcome Outcome `json:"outcome"`
	// BlockedBefore and BlockedAfter are the true state around an applied
	// call; nil for others.
	BlockedBefore *bool `json:"blocked_before"`
	BlockedAfter  *bool `json:"blocked_after"`
	// SaidBlocked is what a status read told the client, lag included; nil
	// when it told nothing that can be read.
	SaidBlocked *bool `json:"said_blocked"`
	// Fault is the name of the fault that hit the request: of a scripted one,
	// "card:" and a behaviour, or "chaos:" and a kind. Empty: none.
	Fault string `json:"fault,omitempty"`
	// ContentType, CorrelationID, Traceparent and IdempotencyKey are headers
	// of the request; the last is there because net/http re-sends a request
	// that has it.
	ContentType    string `json:"content_type,omitempty"`
	CorrelationID  string `json:"x_correlation_id,omitempty"`
	Traceparent    string `json:"traceparent,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Body is the body of a call that changes a card; nil for others and when
	// it could not be read.
	Body *EntryBody `json:"body"`
	// RemoteAddr tells connections apart.
	RemoteAddr string `json:"remote_addr,omitempty"`
}

// EntryBody is the body of an unblock; nil members were absent.
type EntryBody struct {
	Status      *string `json:"status"`
	Description *string `json:"description"`
	UpdatedBy   *string `json:"updatedBy"`
}

// record is an entry in the ledger. Its fields are guarded by the ledger's
// lock; epoch tells a record from before a reset from one after it.
type record struct {
	Entry
	epoch uint64
}

// ledger is a ring of the latest entries, and the counters.
type ledger struct {
	limit   int
	now     func() time.Time
	observe func(Entry)

	mu        sync.Mutex
	ring      []*record
	oldest    int // place of the oldest record once the ring is full
	seq       uint64
	epoch     uint64
	forgotten uint64
	counts    [len(calls)]CallCount
}

// open notes an arrival. The entry has its request fields set; the rest is
// filled in here and by the methods below.
func (l *ledger) open(e Entry) *record {
	l.mu.Lock()
	l.seq++
	e.Seq, e.ReceivedAt, e.Outcome = l.seq, l.now(), OutcomeOpen
	r := &record{Entry: e, epoch: l.epoch}
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, r)
	} else {
		l.ring[l.oldest] = r
		l.oldest = (l.oldest + 1) % l.limit
		l.forgotten++
	}
	l.counts[e.Call.index()].Received++
	l.mu.Unlock()
	l.notify(r)
	return r
}

// edit changes an entry and its counters under the lock.
func (l *ledger) edit(r *record, change func(*Entry, *CallCount)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := &l.counts[r.Call.index()]
	if r.epoch != l.epoch {
		count = &CallCount{} // begun before a reset: no longer counted
	}
	change(&r.Entry, count)
}

// fault notes which fault hit a request.
func (l *ledger) fault(r *record, name string) {
	l.edit(r, func(e *Entry, n *CallCount) {
		e.Fault = name
		n.Faults++
	})
}

// applied notes that a card was changed. The caller holds the card's lock, so
// that entries are applied in the order of their AppliedAt; it notifies after
// letting go of it.
func (l *ledger) applied(r *record, before, after bool) {
	l.edit(r, func(e *Entry, n *CallCount) {
		e.AppliedAt, e.BlockedBefore, e.BlockedAfter = new(l.now()), &before, &after
		n.Applied++
	})
}

// read notes that a card is looked at. The caller holds the card's lock, so
// that the times of changes and looks are in their order.
func (l *ledger) read(r *record) {
	l.edit(r, func(e *Entry, _ *CallCount) { e.ReadAt = new(l.now()) })
}

// end notes the outcome of a request and what it said. Ending it again
// overrides the outcome: a write may fail after the answer was noted.
func (l *ledger) end(r *record, outcome Outcome, status int, said *bool) {
	l.edit(r, func(e *Entry, n *CallCount) {
		n.uncount(e)
		e.Outcome, e.Status, e.EndedAt = outcome, status, new(l.now())
		e.AnsweredAt, e.SaidBlocked = nil, nil
		if outcome == OutcomeAnswered {
			e.AnsweredAt, e.SaidBlocked = e.EndedAt, said
		}
		n.count(e)
	})
	l.notify(r)
}

// notify hands a copy of the entry to the observer.
func (l *ledger) notify(r *record) {
	if l.observe != nil {
		l.observe(l.copyOf(r))
	}
}

func (l *ledger) copyOf(r *record) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.Entry
}

// LedgerQuery selects entries; its zero value selects all.
type LedgerQuery struct {
	PublicToken string // of this card only, when not empty
	Call        Call   // of this kind only, when not empty
	Since       uint64 // with a greater Seq only
}

// LedgerPage is the answer to a LedgerQuery.
type LedgerPage struct {
	// Entries are in the order of arrival, as copies.
	Entries []Entry `json:"entries"`
	// LastSeq is the Seq of the latest request of all, to ask on from.
	LastSeq uint64 `json:"last_seq"`
	// Forgotten is how many older entries did not fit since the last reset.
	Forgotten uint64 `json:"forgotten"`
}

func (l *ledger) query(q LedgerQuery) LedgerPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := LedgerPage{Entries: []Entry{}, LastSeq: l.seq, Forgotten: l.forgotten}
	for i := range l.ring {
		r := l.ring[(l.oldest+i)%len(l.ring)]
		if r.Seq <= q.Since || q.PublicToken != "" && r.PublicToken != q.PublicToken || q.Call != "" && r.Call != q.Call {
			continue
		}
		page.Entries = append(page.Entries, r.Entry)
	}
	return page
}

// reset forgets the entries and zeroes the counters.
func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.oldest, l.forgotten = nil, 0, 0
	l.epoch++
	l.counts = [len(calls)]CallCount{}
}
