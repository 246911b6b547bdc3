package opstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/cardworker/cardworker/tasks"
)

// acceptKeyed binds the key to an id before the operation is made, since the two lie in different
// shards: the same key may come with another card. Whoever comes with the same key in between, or after
// a crash, makes the operation under the id that was bound.
func (s *Store) acceptKeyed(ctx context.Context, req *Request) (Accepted, error) {
	key := idemKey(req.Key)
	print := fingerprint(*req)
	mine := req.ID + " " + print
	number := s.callNumber()
	held, err := reserveScript.Run(ctx, s.rdb, []string{key}, mine, IdempotencyWindow.Milliseconds(), number).Text()
	if err != nil {
		return Accepted{}, fmt.Errorf("reserve the idempotency key: %w", err)
	}
	id, heldPrint, ok := strings.Cut(held, " ")
	if !ok || !tasks.ValidID(id) {
		return Accepted{}, fmt.Errorf("%w: binding of an idempotency key", errReply)
	}
	if heldPrint != print {
		return Accepted{}, ErrKeyReused
	}
	req.ID, req.bound = id, held

	acc, err := s.accept(ctx, req)
	if limit := (*LimitError)(nil); errors.As(err, &limit) {
		// Nothing was accepted, so the key is free again, unless another request has come with it: it may
		// have been let through. Left behind it would only keep the key from being used for another card.
		if err := releaseScript.Run(ctx, s.rdb, []string{key}, held, number).Err(); err != nil {
			return Accepted{}, errors.Join(limit, fmt.Errorf("release the idempotency key: %w", err))
		}
	}
	return acc, err
}

func idemKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return shardPrefix(tasks.KeyShard(key)) + "idem:" + hex.EncodeToString(sum[:16])
}

// fingerprint names kind and card without telling them: it is keyed with the idempotency key, which is
// nowhere in Redis.
func fingerprint(req Request) string {
	mac := hmac.New(sha256.New, []byte(req.Key))
	mac.Write([]byte(string(req.Kind) + "\x00" + req.Card.Reveal()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
