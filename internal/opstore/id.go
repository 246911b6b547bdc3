package opstore

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/oklog/ulid/v2"

	"github.com/cardworker/cardworker/tasks"
)

// NewID returns a fresh operation id for the card: its shard and a ULID, so that ids of one shard sort
// by time. The random part is of cryptographic quality: an id is hard to guess.
func NewID(card tasks.PublicToken) string {
	return card.Shard() + "-" + ulid.MustNew(ulid.Now(), rand.Reader).String()
}

// DerivedID returns the operation id that belongs to a self-contained task: always the same for the same
// queue and task id, so that a task which is delivered twice is one operation.
func DerivedID(card tasks.PublicToken, queue, taskID string) string {
	sum := sha256.Sum256([]byte(queue + "\x00" + taskID))
	var u ulid.ULID
	copy(u[:], sum[:])
	return card.Shard() + "-" + u.String()
}
