package opstore

import "github.com/cardworker/cardworker/tasks"

const prefix = "cardworker:{"

func shardPrefix(shard string) string { return prefix + shard + "}:" }

func opPrefix(shard string) string { return shardPrefix(shard) + "op:" }

// opKey returns the key of a record. The id must be valid.
func opKey(id string) string { return opPrefix(tasks.ShardOf(id)) + id }

// joinedKey returns the key that says which operation a request joined that would else have had the id.
func joinedKey(id string) string { return shardPrefix(tasks.ShardOf(id)) + "joined:" + id }

func auditKey(shard string) string { return shardPrefix(shard) + "audit" }

func leasedKey(shard string) string { return shardPrefix(shard) + "leased" }

// waitingKey keeps unblocks apart from refreshes, so that a long backlog of refreshes never stands
// between recovery and a cardholder.
func waitingKey(shard string, kind tasks.Kind) string { return shardPrefix(shard) + waitingIndex(kind) }

// waitingIndex is what such a key ends with.
func waitingIndex(kind tasks.Kind) string {
	if kind.Unblocks() {
		return "waiting:urgent"
	}
	return "waiting:refresh"
}

func lockKey(card tasks.PublicToken, kind tasks.Kind) string {
	return shardPrefix(card.Shard()) + "lock:" + string(kind) + ":" + card.Digest()
}

func limitKey(card tasks.PublicToken, kind tasks.Kind) string {
	return shardPrefix(card.Shard()) + "limit:" + string(kind) + ":" + card.Digest()
}
