package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// maxControlBody bounds the body of a control request.
const maxControlBody = 4 << 20

// controlAPI is the HTTP side of the control methods, see the package comment.
func (s *Sandbox) controlAPI() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(r *http.Request, body []byte) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
			if err != nil {
				writeControl(w, nil, fmt.Errorf("the body cannot be read: %w", err))
				return
			}
			v, err := h(r, body)
			writeControl(w, v, err)
		})
	}
	handle("GET /_sandbox/health", func(*http.Request, []byte) (any, error) {
		return map[string]string{"status": "ok"}, nil
	})
	handle("GET /_sandbox/magic-cards", func(*http.Request, []byte) (any, error) { return MagicCards(), nil })
	handle("GET /_sandbox/cards/{token}", s.getCard)
	handle("POST /_sandbox/cards/{token}", s.postCard)
	handle("GET /_sandbox/faults", func(*http.Request, []byte) (any, error) { return s.Faults(), nil })
	handle("POST /_sandbox/faults", s.postFaults)
	handle("DELETE /_sandbox/faults", done(s.ClearFaults))
	handle("GET /_sandbox/chaos", func(*http.Request, []byte) (any, error) { return s.Chaos(), nil })
	handle("PUT /_sandbox/chaos", s.putChaos)
	handle("DELETE /_sandbox/chaos", done(func() { s.chaos.Store(nil) }))
	handle("GET /_sandbox/ledger", s.getLedger)
	handle("DELETE /_sandbox/ledger", done(s.ResetLedger))
	handle("GET /_sandbox/counters", func(*http.Request, []byte) (any, error) { return s.Counters(), nil })
	handle("DELETE /_sandbox/tokens", func(*http.Request, []byte) (any, error) {
		return map[string]int{"revoked": s.RevokeTokens()}, nil
	})
	handle("POST /_sandbox/reset", done(s.Reset))
	return http.NewCrossOriginProtection().Handler(mux)
}

// done is a control request that has nothing to say.
func done(f func()) func(*http.Request, []byte) (any, error) {
	return func(*http.Request, []byte) (any, error) {
		f()
		return nil, nil
	}
}

// errNotFound makes a 404 of a control error; any other is a 400.
var errNotFound = errors.New("not found")

// writeControl answers a control request: 204 without a value.
func writeControl(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Cache-Control", "no-store")
	status := http.StatusOK
	switch {
	case errors.Is(err, errNotFound):
		status, v = http.StatusNotFound, map[string]string{"error": err.Error()}
	case err != nil:
		status, v = http.StatusBadRequest, map[string]string{"error": err.Error()}
	case v == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has left: nobody to tell
}

func (s *Sandbox) getCard(r *http.Request, _ []byte) (any, error) {
	c, ok := s.Card(r.PathValue("token"))
	if !ok {
		return nil, fmt.Errorf("card: %w: no range holds that public token and none was set", errNotFound)
	}
	return c, nil
}

func (s *Sandbox) postCard(r *http.Request, body []byte) (any, error) {
	token := r.PathValue("token")
	err := s.UpdateCard(token, func(c *Card) error { return decodeCard(body, c) })
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	return s.getCard(r, nil)
}

// decodeCard lays the given members over a card; those not given stay.
func decodeCard(body []byte, c *Card) error {
	return decodeStrict(bytes.NewReader(body), c)
}

func (s *Sandbox) postFaults(_ *http.Request, body []byte) (any, error) {
	faults, err := decodeFaults(body)
	if err != nil {
		return nil, fmt.Errorf("fault: %w", err)
	}
	return nil, s.AddFault(faults...)
}

// decodeFaults reads one fault or a list of them.
func decodeFaults(body []byte) ([]Fault, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		var faults []Fault
		err := decodeStrict(bytes.NewReader(body), &faults)
		return faults, err
	}
	var f Fault
	if err := decodeStrict(bytes.NewReader(body), &f); err != nil {
		return nil, err
	}
	return []Fault{f}, nil
}

func (s *Sandbox) putChaos(_ *http.Request, body []byte) (any, error) {
	var c Chaos
	if err := decodeStrict(bytes.NewReader(body), &c); err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	return nil, s.SetChaos(c)
}

func (s *Sandbox) getLedger(r *http.Request, _ []byte) (any, error) {
	values := r.URL.Query()
	q := LedgerQuery{PublicToken: values.Get("public_token"), Call: Call(values.Get("call"))}
	if since := values.Get("since"); since != "" {
		seq, err := strconv.ParseUint(since, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("ledger: since %q: want the seq of an entry", since)
		}
		q.Since = seq
	}
	if q.Call != "" {
		if err := checkCall(q.Call, CallOther); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
	}
	for name := range values {
		switch name {
		case "public_token", "call", "since":
		default:
			return nil, fmt.Errorf("ledger: parameter %q is unknown: use public_token, call or since", name)
		}
	}
	return s.QueryLedger(q), nil
}
