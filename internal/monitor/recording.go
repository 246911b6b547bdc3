package monitor

import (
	"bytes"
	"net/http"
)

// recording keeps an answer of asynqmon so that it can be changed before it is sent.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*recording)(nil)

func newRecording() *recording {
	return &recording{header: make(http.Header), status: http.StatusOK}
}

func (r *recording) Header() http.Header         { return r.header }
func (r *recording) WriteHeader(status int)      { r.status = status }
func (r *recording) Write(b []byte) (int, error) { return r.body.Write(b) }
