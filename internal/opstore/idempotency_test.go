package opstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/tasks"
)

func keyIsTheSameOperation(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Key: idemKeyOf(t)}
	first := f.accept(req)
	again := f.accept(req)
	f.done(first.Record, Result{Error: failure(tasks.CodeNotAllowed)})
	ended := f.accept(req)
	if !first.Created || again.Created || again.Joined || again.ID != first.ID {
		t.Errorf("again: id %s, Created %v, Joined %v, want %s, false, false", again.ID, again.Created, again.Joined, first.ID)
	}
	if ended.ID != first.ID || ended.State != tasks.Failed {
		t.Errorf("after the end: id %s, state %s, want %s, failed", ended.ID, ended.State, first.ID)
	}
	req.Key += "'"
	if other := f.accept(req); other.ID == first.ID {
		t.Error("another key gives the same operation")
	}
}

func keyOfAnotherRequestIsRefused(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Key: idemKeyOf(t)}
	first := f.accept(req)
	otherKind, otherCard := req, req
	otherKind.Kind, otherCard.Card = tasks.RefreshPINStatus, card(t)
	for _, req := range []Request{otherKind, otherCard} {
		_, err := f.store.Accept(t.Context(), req)
		if !errors.Is(err, ErrKeyReused) {
			t.Errorf("Accept = %v, want ErrKeyReused", err)
			continue
		}
		if strings.Contains(err.Error(), req.Key) || strings.Contains(err.Error(), first.ID) {
			t.Errorf("Accept = %q, which tells of the other request", err)
		}
		if n := f.rdb.Exists(t.Context(), lockKey(req.Card, req.Kind)).Val(); n != 0 {
			t.Error("a refused request left a lock")
		}
	}
}

func keyConcurrentlyIsOneOperation(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Key: idemKeyOf(t), Lifetime: time.Minute}
	created := 0
	accs := concurrently(t, 50, func() (Accepted, error) { return f.store.Accept(t.Context(), req) })
	for _, acc := range accs {
		if acc.Created {
			created++
		}
		if acc.ID != accs[0].ID {
			t.Errorf("ids %s and %s for one key", acc.ID, accs[0].ID)
		}
	}
	if created != 1 {
		t.Errorf("%d of 50 created an operation, want 1", created)
	}
}

func keyOutlivesACrashBeforeAccept(t *testing.T, f fixture) {
	req := Request{Kind: tasks.UnblockPIN, Card: card(t), Key: idemKeyOf(t)}
	bound := NewID(req.Card)
	binding := bound + " " + fingerprint(req)
	err := reserveScript.Run(t.Context(), f.rdb, []string{idemKey(req.Key)},
		binding, IdempotencyWindow.Milliseconds(), "first").Err()
	if err != nil {
		t.Fatal(err)
	}
	// The first request died here. Two more come with its key.
	first, second := f.accept(req), f.accept(req)
	if first.ID != bound || !first.Created || second.ID != bound || second.Created {
		t.Errorf("ids %s (Created %v) and %s (Created %v), want %s, made once", first.ID, first.Created, second.ID, second.Created, bound)
	}
	if ttl := f.rdb.PTTL(t.Context(), idemKey(req.Key)).Val(); ttl <= IdempotencyWindow-time.Minute || ttl > IdempotencyWindow {
		t.Errorf("the key is bound for %s, want about %s", ttl, IdempotencyWindow)
	}
}

// Two requests with one key may be under way when the operation that the first one joined ends between
// them. The second must not make another.
func keyThatJoinedStaysWithWhatItJoined(t *testing.T, f fixture) {
	c := card(t)
	open := f.accept(Request{Kind: tasks.UnblockPIN, Card: c})
	keyed := Request{Kind: tasks.UnblockPIN, Card: c, Key: idemKeyOf(t), ID: NewID(c)}
	joined := f.accept(keyed)
	if joined.ID != open.ID || !joined.Joined {
		t.Fatalf("id %s, Joined %v, want %s, true", joined.ID, joined.Joined, open.ID)
	}
	late, err := f.store.accept(t.Context(), &keyed) // It has read the binding, and comes late.
	if err != nil || late.ID != open.ID {
		t.Errorf("a late request with the key: id %s, %v, want %s", late.ID, err, open.ID)
	}
	f.done(open.Record, Result{Status: unblocked()})
	for range 2 {
		again := f.accept(keyed)
		if again.ID != open.ID || again.Created || !again.State.Done() {
			t.Errorf("after the end: id %s, Created %v, state %s, want %s", again.ID, again.Created, again.State, open.ID)
		}
	}
	if late, err = f.store.accept(t.Context(), &keyed); err != nil || late.ID != open.ID || late.Created {
		t.Errorf("a very late request with the key: id %s, Created %v, %v, want %s", late.ID, late.Created, err, open.ID)
	}
	if fresh := f.accept(Request{Kind: tasks.UnblockPIN, Card: c}); !fresh.Created {
		t.Error("a request without the key got the ended operation")
	}
}

func keyIsFreeAfterARefusal(t *testing.T, f fixture) {
	f = f.with(Config{UnblockLimit: 1})
	c := card(t)
	f.unblockAndEnd(c, tasks.UnblockPIN)
	key := idemKeyOf(t)
	var limit *LimitError
	if _, err := f.store.Accept(t.Context(), Request{Kind: tasks.UnblockPIN, Card: c, Key: key}); !errors.As(err, &limit) {
		t.Fatalf("Accept = %v, want a LimitError", err)
	}
	if acc := f.accept(Request{Kind: tasks.UnblockPIN, Card: card(t), Key: key}); !acc.Created {
		t.Error("the key of a refused request is bound")
	}
}

// beforeRelease is a client that does something before it releases an idempotency key.
type beforeRelease struct {
	redis.UniversalClient
	do func()
}

func (b beforeRelease) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if sha1 == releaseScript.Hash() {
		b.do()
	}
	return b.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

// A request that the limit refused must not free a key with which another was accepted meanwhile.
func keySharedStaysAfterARefusal(t *testing.T, f fixture) {
	c := card(t)
	f.with(Config{UnblockLimit: 1}).unblockAndEnd(c, tasks.UnblockPIN)
	req := Request{Kind: tasks.UnblockPIN, Card: c, Key: idemKeyOf(t), Lifetime: time.Minute}
	var other Accepted
	f2 := f.with(Config{UnblockLimit: 2}) // As if an earlier one had just left the window.
	refused := New(beforeRelease{f.rdb, func() { other = f2.accept(req) }}, Config{UnblockLimit: 1})
	var limit *LimitError
	if _, err := refused.Accept(t.Context(), req); !errors.As(err, &limit) {
		t.Fatalf("Accept = %v, want a LimitError", err)
	}
	if !other.Created {
		t.Fatalf("the other request: %+v, want that it was accepted", other)
	}
	f2.done(other.Record, Result{Status: unblocked()})
	if again := f.accept(req); again.ID != other.ID || again.Created {
		t.Errorf("the key names %s (Created %v), want %s, which was accepted with it", again.ID, again.Created, other.ID)
	}
	if ttl := f.rdb.PTTL(t.Context(), idemKey(req.Key)).Val(); ttl <= IdempotencyWindow-time.Minute || ttl > IdempotencyWindow {
		t.Errorf("the key is bound for %s, want about %s", ttl, IdempotencyWindow)
	}
}

// As long as a key names an operation, the operation has to be there.
func keyKeepsItsRecord(t *testing.T, f fixture) {
	f = f.with(Config{ResultTTL: time.Second})
	c := card(t)
	keyed := f.accept(Request{Kind: tasks.UnblockPIN, Card: c, Key: idemKeyOf(t)})
	bare := f.open(tasks.UnblockPIN)
	joined := f.open(tasks.UnblockPIN)
	f.accept(Request{Kind: tasks.UnblockPIN, Card: joined.Token, Key: idemKeyOf(t)})
	for name, tc := range map[string]struct {
		rec         Record
		atLeast, to time.Duration
	}{
		"named by a key":            {keyed.Record, IdempotencyWindow - time.Minute, IdempotencyWindow},
		"joined by one with a key":  {joined, IdempotencyWindow - time.Minute, IdempotencyWindow},
		"named by nothing but time": {bare, 1, time.Second},
	} {
		f.done(tc.rec, Result{Status: unblocked()})
		if ttl := f.rdb.PTTL(t.Context(), opKey(tc.rec.ID)).Val(); ttl < tc.atLeast || ttl > tc.to {
			t.Errorf("%s: the record goes in %s, want %s to %s", name, ttl, tc.atLeast, tc.to)
		}
	}
}
