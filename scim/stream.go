package scim

import (
	"bytes"
	"net/http"
)

// streamBuffer is how much of an answer is held back: an answer that fits is
// sent with its length, and a failure before that is still an error answer.
const streamBuffer = 64 << 10

// stream writes an answer whose size is not bounded by a page.
type stream struct {
	w      http.ResponseWriter
	status int
	buf    bytes.Buffer
	begun  bool
	err    error
}

func newStream(w http.ResponseWriter, status int) *stream { return &stream{w: w, status: status} }

func (s *stream) write(b []byte) {
	s.buf.Write(b)
	if s.buf.Len() >= streamBuffer {
		s.send()
	}
}

func (s *stream) send() {
	if !s.begun {
		contentHeaders(s.w)
		s.w.WriteHeader(s.status)
		s.begun = true
	}
	if s.err == nil {
		_, s.err = s.w.Write(s.buf.Bytes())
	}
	s.buf.Reset()
}

func (s *stream) close() error {
	if !s.begun {
		writeBody(s.w, s.status, s.buf.Bytes())
		return nil
	}
	s.send()
	return nil // the client is gone: nobody to tell
}

// fail gives the error back while nothing has been sent. After that the
// connection is cut, so that half an answer is not taken for a whole one.
func (s *stream) fail(err error) error {
	if !s.begun {
		return err
	}
	panic(http.ErrAbortHandler)
}
