package sandbox

import (
	"fmt"
	"strconv"
)

// MagicCard is a range of nine-digit public tokens that behave alike without
// any setup.
type MagicCard struct {
	Range       string    `json:"range"`   // "503000000-503999999", both ends included
	Example     string    `json:"example"` // one public token of the range
	Behaviour   Behaviour `json:"behaviour"`
	Description string    `json:"description"` // one line for a person
}

// magicCards holds a behaviour for the first three digits of a token.
var magicCards, magicByPrefix = buildMagicCards([]magicRange{
	{100, 199, "103169946", BehaviourBlocked, "PIN and CVV blocked, no tries left; an unblock works"},
	{200, 299, "200000001", BehaviourUnblocked, "already unblocked, all tries left"},
	{401, 401, "401000001", BehaviourUnauthorized, "the first call of each kind answers 401, then it works"},
	{403, 403, "403000001", BehaviourNotAllowed, "unblocking and reading the PIN are not allowed (403); a status can be read"},
	{404, 404, "404000001", BehaviourUnknown, "no such card (404)"},
	{409, 409, "409000001", BehaviourConflict, "an unblock answers 409 and the card stays blocked"},
	{429, 429, "429000001", BehaviourThrottled, "the first call of each kind answers 429 with Retry-After: 1, then it works"},
	{500, 500, "500000001", BehaviourFailing, "every call answers 500"},
	{503, 503, "503000001", BehaviourFailsTwice, "the first two calls of each kind answer 503, then it works"},
	{504, 504, "504000001", BehaviourSlow, "every call takes 3 s, then works"},
	{600, 600, "600000001", BehaviourLagging, "an unblock works, but the next two status reads still say Blocked"},
	{601, 601, "601000001", BehaviourStuck, "an unblock is accepted, but every status read says Blocked for ever"},
	{700, 700, "700000001", BehaviourLostReply, "the first unblock is applied and its reply is lost (connection reset)"},
	{701, 701, "701000001", BehaviourLostRequest, "the first unblock is lost before it is applied (connection reset)"},
	{702, 702, "702000001", BehaviourBadGateway, "the first unblock is applied and answered 502"},
	{703, 703, "703000001", BehaviourSilent, "the first unblock is applied and never answered"},
	{800, 800, "800000001", BehaviourUnreadable, "an unblock works, but a status read answers 200 with an HTML page"},
	{801, 801, "801000001", BehaviourTriesNumber, "works; remainingTries is a number, not a string"},
	{802, 802, "802000001", BehaviourTriesAbsent, "works; the status has no remainingTries"},
	{803, 803, "803000001", BehaviourOfflineTries, "works; the status has remainingOfflineTries, which an unblock does not reset"},
	{804, 804, "804000001", BehaviourStatusCode, "works; the status has statusCode and description"},
})

// magicRange is a row of the table: the prefixes from to to, both included.
type magicRange struct {
	from, to    int
	example     string
	behaviour   Behaviour
	description string
}

func buildMagicCards(rows []magicRange) ([]MagicCard, [1000]Behaviour) {
	var byPrefix [1000]Behaviour
	cards := make([]MagicCard, 0, len(rows))
	for _, row := range rows {
		for prefix := row.from; prefix <= row.to; prefix++ {
			byPrefix[prefix] = row.behaviour
		}
		cards = append(cards, MagicCard{
			Range:       fmt.Sprintf("%d000000-%d999999", row.from, row.to),
			Example:     row.example,
			Behaviour:   row.behaviour,
			Description: row.description,
		})
	}
	return cards, byPrefix
}

// MagicCards returns the table of ranges in ascending order. Every other token
// is unknown (404) until SetCard makes it a card. The slice is the caller's.
func MagicCards() []MagicCard {
	return append([]MagicCard(nil), magicCards...)
}

// magicBehaviour is the behaviour of a token's range; ok is false where no
// range holds it.
func magicBehaviour(publicToken string) (b Behaviour, ok bool) {
	if len(publicToken) != 9 {
		return "", false
	}
	for i := range len(publicToken) {
		if publicToken[i] < '0' || publicToken[i] > '9' {
			return "", false
		}
	}
	prefix, err := strconv.Atoi(publicToken[:3])
	if err != nil || magicByPrefix[prefix] == "" {
		return "", false
	}
	return magicByPrefix[prefix], true
}
