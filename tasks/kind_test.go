package tasks

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The names are on the wire, in metrics and in other people's programs.
func TestNames_AreTheContract(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct{ got, want []string }{
		"kinds":  {names(Kinds()), []string{"refresh_cvv_status", "refresh_pin_status", "unblock_cvv", "unblock_pin"}},
		"types":  {names(Types()), []string{"cvv:confirm", "cvv:status", "cvv:unblock", "pin:confirm", "pin:status", "pin:unblock"}},
		"states": {names(States()), []string{"accepted", "running", "confirming", "succeeded", "failed"}},
		"codes": {names(Codes()), []string{
			"card_not_found", "not_allowed", "rejected", "still_blocked", "unconfirmed",
			"expired", "unavailable", "unauthorized", "bad_response", "internal",
		}},
		"queues": {Queues(), []string{"confirm", "unblock", "refresh"}},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

func TestKinds_TheirStepsAndPolicies(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]struct {
		unblocks       bool
		credential     Credential
		first, confirm Type
		expiry         time.Duration
		queue          string
	}{
		UnblockPIN:       {true, PIN, TypeUnblockPIN, TypeConfirmPIN, 5 * time.Minute, QueueUnblock},
		UnblockCVV:       {true, CVV, TypeUnblockCVV, TypeConfirmCVV, 5 * time.Minute, QueueUnblock},
		RefreshPINStatus: {false, PIN, TypeStatusPIN, "", 2 * time.Minute, QueueRefresh},
		RefreshCVVStatus: {false, CVV, TypeStatusCVV, "", 2 * time.Minute, QueueRefresh},
	} {
		if !kind.Valid() || kind.Unblocks() != want.unblocks || kind.Credential() != want.credential {
			t.Errorf("%s: Valid %v, Unblocks %v, Credential %q, want true, %v, %q",
				kind, kind.Valid(), kind.Unblocks(), kind.Credential(), want.unblocks, want.credential)
		}
		if kind.FirstType() != want.first || kind.ConfirmType() != want.confirm {
			t.Errorf("%s: steps %q, %q, want %q, %q", kind, kind.FirstType(), kind.ConfirmType(), want.first, want.confirm)
		}
		if got := kind.DefaultExpiry(); got != want.expiry {
			t.Errorf("%s: DefaultExpiry() = %s, want %s", kind, got, want.expiry)
		}
		if got := kind.FirstType().Policy().Queue; got != want.queue {
			t.Errorf("%s: queue %q, want %q", kind, got, want.queue)
		}
		if got := kind.FirstType().Kind(); got != kind {
			t.Errorf("%s begins with a step of %s", kind, got)
		}
	}
	for _, kind := range []Kind{"", "unblock", "UNBLOCK_PIN", "pin:unblock"} {
		if kind.Valid() || kind.Unblocks() || kind.Credential() != "" || kind.FirstType() != "" || kind.ConfirmType() != "" {
			t.Errorf("%q passes for a kind", kind)
		}
	}
}

func TestKinds_TablesAreComplete(t *testing.T) {
	t.Parallel()
	if len(firstTypes) != len(Kinds()) || len(policies) != len(Types()) || len(codes) != len(Codes()) {
		t.Errorf("tables have %d, %d, %d lines, want %d, %d, %d",
			len(firstTypes), len(policies), len(codes), len(Kinds()), len(Types()), len(Codes()))
	}
	var steps []Type
	for _, k := range Kinds() {
		steps = append(steps, k.FirstType())
		if c := k.ConfirmType(); c != "" {
			steps = append(steps, c)
		}
	}
	for _, typ := range Types() {
		if !typ.Valid() || !slices.Contains(steps, typ) {
			t.Errorf("type %s: Valid() = %v, a step of some kind: %v", typ, typ.Valid(), slices.Contains(steps, typ))
		}
		if got, want := typ.Confirms(), typ.Kind().ConfirmType() == typ; got != want {
			t.Errorf("type %s: Confirms() = %v, want %v", typ, got, want)
		}
		p := typ.Policy()
		if !slices.Contains(Queues(), p.Queue) || p.Attempts < 2 || p.Timeout < time.Minute || p.Timeout%time.Second != 0 {
			t.Errorf("type %s: policy %+v", typ, p)
		}
	}
	if p := Type("pin:unblock2").Policy(); p != (Policy{}) || Type("pin:unblock2").Valid() || Type("").Valid() {
		t.Errorf("an unknown type has the policy %+v", p)
	}
}

// A router that matches prefixes, as asynq's does, would hand one kind's task to another.
func TestNames_NoneIsAPrefixOfAnother(t *testing.T) {
	t.Parallel()
	for what, list := range map[string][]string{"kind": names(Kinds()), "type": names(Types()), "queue": Queues()} {
		for _, a := range list {
			for _, b := range list {
				if a != b && strings.HasPrefix(b, a) {
					t.Errorf("%s %q is a prefix of %q", what, a, b)
				}
			}
		}
	}
}

func TestKindOfCredential(t *testing.T) {
	t.Parallel()
	for c, want := range map[Credential][2]Kind{PIN: {UnblockPIN, RefreshPINStatus}, CVV: {UnblockCVV, RefreshCVVStatus}} {
		unblock, err1 := UnblockKind(c)
		refresh, err2 := RefreshKind(c)
		if err1 != nil || err2 != nil || unblock != want[0] || refresh != want[1] {
			t.Errorf("kinds of %q = %q (%v), %q (%v), want %q", c, unblock, err1, refresh, err2, want)
		}
	}
	for _, c := range []Credential{"", "PIN", "pim"} {
		if k, err := UnblockKind(c); err == nil || !strings.Contains(err.Error(), "neither pin nor cvv") {
			t.Errorf("UnblockKind(%q) = %q, %v, want an error that names what there is", c, k, err)
		}
	}
}

func TestCodes_WhatIsWorthAnotherTry(t *testing.T) {
	t.Parallel()
	want := map[Code]bool{
		"card_not_found": false, "not_allowed": false, "rejected": false, "still_blocked": true, "unconfirmed": true,
		"expired": true, "unavailable": true, "unauthorized": true, "bad_response": true, "internal": true,
	}
	for _, c := range Codes() {
		if !c.Valid() || c.Retryable() != want[c] {
			t.Errorf("%s: Valid %v, Retryable %v, want true, %v", c, c.Valid(), c.Retryable(), want[c])
		}
	}
	if Code("").Valid() || Code("oops").Valid() || Code("oops").Retryable() {
		t.Error("an unknown code passes")
	}
}
