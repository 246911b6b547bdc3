package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"
)

// maxPageSize bounds how many tasks one answer holds, since each answer is built in memory. The page
// offers up to 100.
const maxPageSize = 100

// api answers the calls that the page makes.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/metrics" {
		// asynqmon would ask a Prometheus server that it has not been given.
		http.Error(w, "the monitor has no Prometheus server to ask", http.StatusNotFound)
		return
	}
	rec := newRecording()
	c := s.consoles.Get().(*console)
	met := c.answer(rec, boundedPage(r))
	s.consoles.Put(c)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.cfg.Log.WithFields(logrus.Fields{
			"remote": r.RemoteAddr,
			"call":   r.Method + " " + maskText(r.URL.Path, nil), // a stranger's task id may hold a token
			"status": rec.status,
		}).Info("monitor: action")
	}

	switch body := rec.body.Bytes(); {
	case rec.status >= http.StatusBadRequest:
		http.Error(w, maskText(string(bytes.TrimSpace(body)), met), rec.status)
	case rec.status == http.StatusOK:
		masked, err := maskJSON(body, met)
		if err != nil {
			// What asynqmon has no route for it answers with its page.
			http.Error(w, "no such call", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(masked)
	case rec.status == http.StatusNoContent:
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "no such call", http.StatusNotFound)
	}
}

// console is an asynqmon that knows which public tokens it has met. It answers one call at a time: the
// formatters are told neither the call nor the rest of the task, and only so do the tokens stay with
// the answer whose error texts may repeat them. It must not be closed, since that would close the
// client; it holds nothing else that needs closing.
type console struct {
	mon *asynqmon.HTTPHandler
	met tokens
}

func newConsole(client redis.UniversalClient, actions bool) *console {
	c := &console{}
	c.mon = asynqmon.New(asynqmon.Options{
		RedisConnOpt:     connOpt{client},
		ReadOnly:         !actions,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(_ string, b []byte) string { return c.met.format(b) }),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(_ string, b []byte) string { return c.met.format(b) }),
	})
	return c
}

// answer lets asynqmon answer and returns the tokens that it met.
func (c *console) answer(w http.ResponseWriter, r *http.Request) tokens {
	c.met = nil
	c.mon.ServeHTTP(w, r)
	return c.met
}

// connOpt gives asynq a client that exists. The client goes in as it is: asynqmon looks at its concrete
// type to tell a cluster from a single server.
type connOpt struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (o connOpt) MakeRedisClient() any { return o.client }

// tokens are public tokens, each once.
type tokens []string

// format is what asynqmon shows of a payload or a result.
func (t *tokens) format(raw []byte) string {
	shown, token := maskPayload(raw)
	if token != "" && !slices.Contains(*t, token) {
		*t = append(*t, token)
	}
	return shown
}

// boundedPage returns the request with its page size within bounds, and HEAD as the GET that
// asynqmon knows (net/http drops the body).
func boundedPage(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	if r.Method == http.MethodHead {
		r.Method = http.MethodGet
	}
	q := r.URL.Query()
	if n, err := strconv.Atoi(q.Get("size")); err == nil {
		q.Set("size", strconv.Itoa(min(max(n, 1), maxPageSize)))
		r.URL.RawQuery = q.Encode()
	}
	return r
}

// shownAsIs are the fields whose digits mean something else than a card: links are made of ids, and
// times and sizes are what the console is for. Every other text in an answer is masked, so that a field
// which a later asynqmon adds is safe by default.
var shownAsIs = map[string]bool{
	"id": true, "task_id": true, "queue": true, "group": true, "host": true,
	"deleted_ids": true, "failed_ids": true, "pending_ids": true, "archived_ids": true, "canceled_ids": true, "error_ids": true,
	"start_time": true, "deadline": true, "timestamp": true, "date": true, "enqueued_at": true, "next_process_at": true,
	"last_failed_at": true, "completed_at": true, "next_enqueue_at": true, "prev_enqueue_at": true,
	"address": true, "info": true, "raw_info": true, "raw_cluster_nodes": true, "nodes": true,
}

// maskJSON returns the answer of the API with every text in it masked.
func maskJSON(body []byte, met tokens) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var answer any
	if err := dec.Decode(&answer); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return json.Marshal(maskField("", answer, met))
}

// maskField masks the value of the named field; the elements of a list go by the list's name.
func maskField(name string, value any, met tokens) any {
	if shownAsIs[name] {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = maskField(k, inner, met)
		}
	case []any:
		for i, inner := range v {
			v[i] = maskField(name, inner, met)
		}
	case string:
		switch name {
		case "payload", "task_payload", "result":
			shown, _ := maskPayload([]byte(v))
			return shown
		default:
			return maskText(v, met)
		}
	}
	return value
}
