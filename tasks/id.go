package tasks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
)

// Shards is how many shards the records are spread over. All keys of one card lie in one shard, so that
// one script can change them together and Redis Cluster can spread the shards. It can never change
// while operations exist.
const Shards = 16

// Shard returns the name of the shard that holds the card, "cw00" to "cw15".
func (t PublicToken) Shard() string {
	sum := sha256.Sum256([]byte("card:" + t.Reveal()))
	return shardName(sum)
}

// Digest returns a short stable name of the card for key names. It keeps the token itself out of key
// names, where it could not be masked.
func (t PublicToken) Digest() string {
	sum := sha256.Sum256([]byte("card:" + t.Reveal()))
	return hex.EncodeToString(sum[16:28])
}

// KeyShard returns the name of the shard that holds an idempotency key.
func KeyShard(key string) string { return shardName(sha256.Sum256([]byte("key:" + key))) }

func shardName(sum [sha256.Size]byte) string { return ShardName(int(sum[0]) % Shards) }

// ShardName returns the name of shard n, 0 <= n < [Shards].
func ShardName(n int) string { return shardNames[n] }

var shardNames = func() (names [Shards]string) {
	for n := range names {
		names[n] = fmt.Sprintf("cw%02d", n)
	}
	return names
}()

const idPattern = `cw(?:0[0-9]|1[0-5])-[0-7][0-9A-HJKMNP-TV-Z]{25}`

var anyID = regexp.MustCompile(idPattern)

const (
	shardLen = len("cw00")
	idLen    = shardLen + len("-") + 26 // with a ULID
)

// ValidID reports whether id has the form of an operation id: a shard, a dash and a ULID.
func ValidID(id string) bool {
	// By hand, because every script's keys are made from an id: an expression takes a hundred times as long.
	if len(id) != idLen || id[0] != 'c' || id[1] != 'w' || id[shardLen] != '-' || id[shardLen+1] > '7' {
		return false
	}
	if n := 10*int(id[2]-'0') + int(id[3]-'0'); id[2] > '1' || id[3] < '0' || id[3] > '9' || n >= Shards {
		return false
	}
	for _, c := range []byte(id[shardLen+1:]) {
		switch {
		case c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U':
		default:
			return false
		}
	}
	return true
}

// ShardOf returns the shard that an operation id names, or "" when id has not the form of one.
func ShardOf(id string) string {
	if !ValidID(id) {
		return ""
	}
	return id[:shardLen]
}
