package payblr

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// hint is what the words of an error body add to its status. Only two cases of
// the API-management gateway need one.
type hint uint8

const (
	hintNone hint = iota
	hintQuota
	hintSubscriptionKey
)

// problem is what is kept of an error body.
type problem struct {
	traceID string
	hint    hint
}

// traceIDForm admits a W3C traceparent (Thredd's traceId) or a UUID (the
// gateway's activityId), so that nothing else can travel in that field.
var traceIDForm = regexp.MustCompile(
	`^(?:[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})$`)

// readProblem reads the union of the error bodies met: Thredd's problem details
// {type,title,status,traceId,errors}, the gateway's {statusCode,message,
// activityId}, HTML, nothing. It never fails; the status decides on its own.
func readProblem(body []byte) problem {
	var fields struct {
		TraceID    any `json:"traceId"`
		ActivityID any `json:"activityId"`
		Message    any `json:"message"`
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if json.Unmarshal(body, &fields) != nil {
		return problem{}
	}
	var p problem
	for _, v := range []any{fields.TraceID, fields.ActivityID} {
		if id, ok := v.(string); ok && traceIDForm.MatchString(strings.ToLower(id)) {
			p.traceID = strings.ToLower(id)
			break
		}
	}
	message, _ := fields.Message.(string)
	switch message = strings.ToLower(message); {
	case strings.Contains(message, "out of call volume quota"):
		p.hint = hintQuota
	case strings.Contains(message, "subscription key"):
		p.hint = hintSubscriptionKey
	}
	return p
}
