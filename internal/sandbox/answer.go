package sandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// answer is an HTTP answer before it is sent.
type answer struct {
	status int
	header http.Header // nil = none beside the content type
	kind   string      // content type, empty when there is no body
	body   []byte
	said   *bool // what a status read says, see Entry.SaidBlocked
}

const (
	typeJSON    = "application/json; charset=utf-8"
	typeProblem = "application/problem+json; charset=utf-8"
	typeHTML    = "text/html; charset=utf-8"
)

// jsonAnswer marshals a value that always can be.
func jsonAnswer(status int, kind string, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sandbox: an answer of its own cannot be marshalled: %v", err))
	}
	return answer{status: status, kind: kind, body: body}
}

// problem is an error as the Thredd Cards API sends it (its reference page
// "errors": type, title, status, traceId, and errors by field).
func problem(status int, title string, fields map[string][]string) answer {
	return jsonAnswer(status, typeProblem, struct {
		Type    string              `json:"type"`
		Title   string              `json:"title"`
		Status  int                 `json:"status"`
		TraceID string              `json:"traceId"`
		Errors  map[string][]string `json:"errors,omitempty"`
	}{
		"https://tools.ietf.org/html/rfc9110#section-15", title, status,
		"00-" + randomHex(16) + "-" + randomHex(8) + "-00", fields,
	})
}

// gatewayError is an error as Azure API Management itself sends it.
func gatewayError(status int, message string) answer {
	body := map[string]any{"statusCode": status, "message": message}
	if status >= http.StatusInternalServerError {
		body["activityId"] = randomUUID()
	}
	return jsonAnswer(status, typeJSON, body)
}

// htmlPage is an error page of some box on the way.
func htmlPage(status int) answer {
	text := http.StatusText(status)
	return answer{status: status, kind: typeHTML, body: fmt.Appendf(nil,
		"<!DOCTYPE html>\n<html><head><title>%d %s</title></head>\n<body><h1>%s</h1></body></html>\n", status, text, text)}
}

// madeUp is the answer that a fault describes with Status and Body.
func (f *Fault) madeUp(call Call) answer {
	kind := f.Body
	if kind == BodyAuto {
		switch {
		case f.Status < 400:
			kind = BodyEmpty
		case call == CallToken:
			kind = BodyEntra
		case f.Status == http.StatusUnauthorized, f.Status == http.StatusTooManyRequests, f.Status >= 500:
			kind = BodyAPIM
		default:
			kind = BodyProblem
		}
	}
	switch kind {
	case BodyProblem:
		return problem(f.Status, http.StatusText(f.Status), nil)
	case BodyAPIM:
		return gatewayError(f.Status, f.gatewayMessage())
	case BodyEntra:
		return entraError(f.Status, "temporarily_unavailable", 90033,
			"A transient error has occurred. Please try again.")
	case BodyHTML:
		return htmlPage(f.Status)
	case BodyTruncated:
		whole := jsonAnswer(f.Status, typeJSON, statusBody{Status: blockedWord(false), RemainingTries: "3"})
		whole.body = whole.body[:len(whole.body)/2]
		return whole
	case BodyHuge:
		return hugeAnswer(f.Status, f.Size)
	case BodyRaw:
		return answer{status: f.Status, kind: typeJSON, body: []byte(f.Raw)}
	}
	return answer{status: f.Status}
}

func (f *Fault) gatewayMessage() string {
	switch f.Status {
	case http.StatusUnauthorized:
		return "Unauthorized. Access token is missing or invalid."
	case http.StatusTooManyRequests:
		seconds := f.Headers["Retry-After"]
		if _, err := strconv.Atoi(seconds); err != nil {
			seconds = "1"
		}
		return "Rate limit is exceeded. Try again in " + seconds + " seconds."
	}
	return http.StatusText(f.Status)
}

// hugeAnswer is a readable status whose JSON is size bytes long.
func hugeAnswer(status, size int) answer {
	const head, tail = `{"status":"Unblocked","remainingTries":"3","padding":"`, `"}`
	if size == 0 {
		size = defaultHugeSize
	}
	body := make([]byte, 0, max(size, len(head)+len(tail)))
	body = append(body, head...)
	body = append(body, bytes.Repeat([]byte("x"), max(0, size-len(head)-len(tail)))...)
	body = append(body, tail...)
	return answer{status: status, kind: typeJSON, body: body}
}

// withFields replaces and removes members of the body's JSON object. A body
// that is none becomes one.
func (a answer) withFields(fields map[string]any) answer {
	if len(fields) == 0 {
		return a
	}
	object := map[string]any{}
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &object); err != nil || object == nil {
			object = map[string]any{}
		}
	}
	for name, value := range fields {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = value
	}
	changed := jsonAnswer(a.status, a.kind, object)
	if a.status == http.StatusNoContent {
		changed.status = http.StatusOK // a 204 cannot carry the body that was asked for
	}
	setDefault(&changed.kind, typeJSON)
	changed.header, changed.said = a.header, saidBy(changed.body)
	return changed
}

// saidBy is what a client can read from the body of a status answer.
func saidBy(body []byte) *bool {
	var read struct {
		Status *string `json:"status"`
	}
	if json.Unmarshal(body, &read) != nil || read.Status == nil {
		return nil
	}
	switch *read.Status {
	case blockedWord(true):
		return new(true)
	case blockedWord(false):
		return new(false)
	}
	return nil
}

// headers writes the answer's headers, those of the fault last.
func (a answer) headers(h http.Header, f *Fault) {
	for name, values := range a.header {
		h[name] = values
	}
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	if f != nil {
		for name, value := range f.Headers {
			h.Set(name, value)
		}
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

func randomUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
