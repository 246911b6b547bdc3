package worker

import (
	"context"
	"sync"
	"time"

	"github.com/cardworker/cardworker/payblr"
	"github.com/cardworker/cardworker/tasks"
)

// fakeAPI is an API made of functions. Those that are nil work on cards that are blocked until they are
// unblocked. It is safe for concurrent use, and its fields are set before it is used.
type fakeAPI struct {
	status     func(ctx context.Context, c fakeCall) (payblr.Status, error)
	unblock    func(ctx context.Context, c fakeCall) error
	checkToken func(ctx context.Context) error

	mu    sync.Mutex
	calls []fakeCall
	open  map[string]bool // cards that were unblocked, by credential and token
}

// fakeCall is one call that a fakeAPI got.
type fakeCall struct {
	Name  payblr.CallName
	Token string
	Note  payblr.Note
	At    time.Time
	// Nth counts the calls of this name for this card from 1.
	Nth int
}

func (c fakeCall) credential() tasks.Credential {
	if c.Name == payblr.CallCVVStatus || c.Name == payblr.CallUnblockCVV {
		return tasks.CVV
	}
	return tasks.PIN
}

func (f *fakeAPI) note(c fakeCall) fakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.At, c.Nth = time.Now(), 1
	for _, o := range f.calls {
		if o.Name == c.Name && o.Token == c.Token {
			c.Nth++
		}
	}
	f.calls = append(f.calls, c)
	return c
}

func (f *fakeAPI) read(ctx context.Context, c fakeCall) (payblr.Status, error) {
	c = f.note(c)
	if f.status != nil {
		return f.status(ctx, c)
	}
	return f.card(c), nil
}

func (f *fakeAPI) write(ctx context.Context, c fakeCall) error {
	c = f.note(c)
	if f.unblock != nil {
		return f.unblock(ctx, c)
	}
	f.apply(c)
	return nil
}

// card is the true status of the card that a call is about.
func (f *fakeAPI) card(c fakeCall) payblr.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[string(c.credential())+c.Token] {
		return says(payblr.StatusUnblocked)
	}
	return says(payblr.StatusBlocked)
}

// apply unblocks the card that a call is about.
func (f *fakeAPI) apply(c fakeCall) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[string]bool{}
	}
	f.open[string(c.credential())+c.Token] = true
}

func (f *fakeAPI) PINStatus(ctx context.Context, token string) (payblr.Status, error) {
	return f.read(ctx, fakeCall{Name: payblr.CallPINStatus, Token: token})
}

func (f *fakeAPI) CVVStatus(ctx context.Context, token string) (payblr.Status, error) {
	return f.read(ctx, fakeCall{Name: payblr.CallCVVStatus, Token: token})
}

func (f *fakeAPI) UnblockPIN(ctx context.Context, token string, n payblr.Note) error {
	return f.write(ctx, fakeCall{Name: payblr.CallUnblockPIN, Token: token, Note: n})
}

func (f *fakeAPI) UnblockCVV(ctx context.Context, token string, n payblr.Note) error {
	return f.write(ctx, fakeCall{Name: payblr.CallUnblockCVV, Token: token, Note: n})
}

func (f *fakeAPI) CheckToken(ctx context.Context) error {
	if f.checkToken != nil {
		return f.checkToken(ctx)
	}
	return nil
}

// made returns the calls so far, in order.
func (f *fakeAPI) made() []fakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]fakeCall(nil), f.calls...)
}

// names returns the names of the calls so far, in order.
func (f *fakeAPI) names() []payblr.CallName {
	var out []payblr.CallName
	for _, c := range f.made() {
		out = append(out, c.Name)
	}
	return out
}

// count returns how often a call was made.
func (f *fakeAPI) count(name payblr.CallName) int {
	n := 0
	for _, c := range f.made() {
		if c.Name == name {
			n++
		}
	}
	return n
}

// says is a status of nothing but its value.
func says(value string) payblr.Status {
	return payblr.Status{Value: value, Blocked: value != payblr.StatusUnblocked}
}

// apiError is the error that the API client returns for a reason.
func apiError(call payblr.CallName, reason payblr.Reason, status int) *payblr.Error {
	return &payblr.Error{Call: call, Class: reason.Class(), Reason: reason, Status: status}
}
