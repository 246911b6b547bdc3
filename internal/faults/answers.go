package faults

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cardworker/cardworker/internal/sandbox"
)

const (
	// slowByte is the pause between the bytes of an answer that trickles in: longer than a call may take.
	slowByte = time.Second
	// hugeBody is the size of an answer that must not be read to its end.
	hugeBody = 16 << 20
)

// answerFaults are what can be wrong with the API's answers, and with those of its token endpoint. Each comes
// on top of those that are there already; "api comes back" ends all of them.
var answerFaults = []form[fault]{
	// The call is carried out, and the caller never hears of it.
	{words: "api hangs at <percent> of calls that it carries out", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "no answer", At: sandbox.After, Do: sandbox.DoHang, Probability: a.share})
	}},
	{words: "api carries out <percent> of calls and answers 502", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "502 after", At: sandbox.After, Do: sandbox.DoStatus, Status: http.StatusBadGateway, Probability: a.share,
		})
	}},
	{words: "api answers <percent> of calls with 429 and <count> as Retry-After", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "429", Do: sandbox.DoStatus, Status: http.StatusTooManyRequests, Probability: a.share,
			Headers: map[string]string{"Retry-After": strconv.Itoa(a.count)},
		})
	}},
	{words: "api trickles <percent> of answers", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "slow body", Do: sandbox.DoSlowBody, Hold: slowByte, Probability: a.share})
	}},
	{words: "api sends headers only for <percent> of answers", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "headers only", Do: sandbox.DoHeadersOnly, Probability: a.share})
	}},
	{words: "api cuts off <percent> of answers", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "cut", At: sandbox.After, Do: sandbox.DoCut, Probability: a.share})
	}},
	{words: "api sends <percent> of answers with a huge body", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "huge body", At: sandbox.After, Do: sandbox.DoStatus, Status: http.StatusOK,
			Body: sandbox.BodyHuge, Size: hugeBody, Probability: a.share,
		})
	}},
	{words: "api sends <percent> of answers as truncated JSON", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "truncated", At: sandbox.After, Do: sandbox.DoStatus, Status: http.StatusOK,
			Body: sandbox.BodyTruncated, Probability: a.share,
		})
	}},
	{words: "api sends <percent> of answers as an HTML page", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "HTML", At: sandbox.After, Do: sandbox.DoStatus, Status: http.StatusOK, Body: sandbox.BodyHTML, Probability: a.share,
		})
	}},
	{words: "api sends <percent> of answers with a wrong content type", f: func(r *run, a args) {
		r.script(sandbox.Fault{
			Name: "content type", Probability: a.share, Headers: map[string]string{"Content-Type": "image/png"},
		})
	}},
	{words: "api says something unknown in <percent> of statuses", f: func(r *run, a args) {
		for _, call := range []sandbox.Call{sandbox.CallCVVStatus, sandbox.CallPINStatus} {
			r.script(sandbox.Fault{
				Name: "unknown status", Call: call, Probability: a.share, Fields: map[string]any{"status": "Sleeping"},
			})
		}
	}},
	// Of cards that are made from now on.
	{words: "statuses lag behind by <count> reads", f: func(r *run, a args) { r.api.lag.Store(int64(a.count)) }},

	{words: "token endpoint goes down", f: func(r *run, _ args) {
		r.script(sandbox.Fault{Name: "no token", Call: sandbox.CallToken, Do: sandbox.DoStatus, Status: http.StatusServiceUnavailable})
	}},
	{words: "token endpoint takes <duration>", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "late token", Call: sandbox.CallToken, Delay: a.duration})
	}},
	{words: "token endpoint refuses the client secret", f: func(r *run, _ args) {
		r.script(sandbox.Fault{
			Name: "wrong secret", Call: sandbox.CallToken, Do: sandbox.DoStatus, Status: http.StatusUnauthorized,
			Body: sandbox.BodyRaw, Raw: `{"error":"invalid_client"}`,
		})
	}},
	{words: "token endpoint promises tokens of <count> seconds", f: func(r *run, a args) {
		r.script(sandbox.Fault{Name: "absurd lifetime", Call: sandbox.CallToken, Fields: map[string]any{"expires_in": a.count}})
	}},
	{words: "all tokens are revoked", f: func(r *run, _ args) { r.api.RevokeTokens() }},
}
