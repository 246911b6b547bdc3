package tasks

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		sampleID:                            true,
		"cw00-00000000000000000000000000":   true,
		"cw15-7ZZZZZZZZZZZZZZZZZZZZZZZZZ":   true,
		"cw16-01KAJ4S7Q0Z5M2E8H6N3T9RXVB":   false,
		"cw5-01KAJ4S7Q0Z5M2E8H6N3T9RXVB":    false,
		"cw05-81KAJ4S7Q0Z5M2E8H6N3T9RXVB":   false, // more than 128 bits
		"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVU":   false, // U is not of the alphabet
		"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXV":    false,
		"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVBB":  false,
		"cw05_01KAJ4S7Q0Z5M2E8H6N3T9RXVB":   false,
		" " + sampleID:                      false,
		sampleID + "\n":                     false,
		sampleID + ":1":                     false,
		strings.ToLower(sampleID):           false,
		"cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB}:": false,
		"":                                  false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v, want %v", id, got, want)
		}
		shard := ""
		if want {
			shard = id[:4]
		}
		if got := ShardOf(id); got != shard {
			t.Errorf("ShardOf(%q) = %q, want %q", id, got, shard)
		}
	}
}

func TestValidID_IsThePatternForEveryChangeOfAByte(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile("^" + idPattern + "$")
	for _, id := range []string{sampleID, "cw00-00000000000000000000000000", "cw15-7ZZZZZZZZZZZZZZZZZZZZZZZZZ"} {
		for i := range id {
			for c := range 256 {
				b := []byte(id)
				b[i] = byte(c)
				if got, want := ValidID(string(b)), pattern.Match(b); got != want {
					t.Errorf("ValidID(%q) = %v, want %v", b, got, want)
				}
			}
		}
	}
}

// The shard of a card, and its name in keys, can never change while operations exist.
func TestShard_NeverChanges(t *testing.T) {
	t.Parallel()
	for token, want := range map[string][2]string{
		"103169946": {"cw04", "0cd75e082bd6d15cf2686ee2"},
		"1":         {"cw09", "3f04ab46c3bf75383e070f88"},
	} {
		card := mustToken(t, token)
		if got := [2]string{card.Shard(), card.Digest()}; got != want {
			t.Errorf("shard and digest of %s = %q, want %q", token, got, want)
		}
	}
	if got, want := KeyShard("tap-1"), "cw14"; got != want {
		t.Errorf("KeyShard(%q) = %q, want %q", "tap-1", got, want)
	}
}

func TestShard_SpreadsCards(t *testing.T) {
	t.Parallel()
	const cards = 16_000
	count := map[string]int{}
	for i := range cards {
		count[mustToken(t, fmt.Sprintf("%09d", 100_000_000+i)).Shard()]++
	}
	if len(count) != Shards {
		t.Fatalf("%d cards lie in %d shards, want all %d", cards, len(count), Shards)
	}
	for n := range Shards {
		if c := count[ShardName(n)]; c < cards/Shards*8/10 || c > cards/Shards*12/10 {
			t.Errorf("shard %s has %d of %d cards, want about a sixteenth", ShardName(n), c, cards)
		}
	}
}
