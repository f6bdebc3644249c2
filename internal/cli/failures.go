package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

// failure is a line of --failures. It can be given to --batch as it is.
type failure struct {
	Line        int64        `json:"line"`
	DeviceToken string       `json:"device_token,omitempty"`
	Outcome     apns.Outcome `json:"outcome"`
	// Invalid says that it was found wrong before anything was sent.
	Invalid bool        `json:"invalid,omitempty"`
	Status  int         `json:"status,omitempty"`
	Reason  apns.Reason `json:"reason,omitempty"`
	Since   time.Time   `json:"since,omitzero"`
	Action  apns.Action `json:"action,omitempty"`
	Advice  string      `json:"advice,omitempty"`
	Error   string      `json:"error,omitempty"`
	ID      string      `json:"apns_id,omitempty"`
	// Original is the object of the batch, or a text if it is not one.
	Original any `json:"original"`
}

// failureKeys are the keys above besides "original" and "apns_id", which a line
// of a batch may have without meaning anything.
var failureKeys = map[string]bool{
	"line": true, "device_token": true, "outcome": true, "invalid": true, "status": true, "reason": true,
	"since": true, "action": true, "advice": true, "error": true, "apns_id": true, "original": true,
}

// failureLine reads such a line when it comes back.
type failureLine struct {
	any      bool
	first    string // key
	original []byte
	id       apns.ID
}

func (f *failureLine) key(key string) bool {
	if !failureKeys[key] {
		return false
	}
	if !f.any {
		f.any, f.first = true, key
	}
	return true
}

func (f *failureLine) read(s *message.Scan, key string) error {
	value, err := s.Value()
	if err != nil {
		return err
	}
	switch key {
	case "original":
		switch value.Kind {
		case message.KindObject:
			f.original = value.Raw
		case message.KindString:
			text, err := value.Text(key)
			f.original = []byte(text)
			return err
		default:
			return value.Want(key, message.KindObject, message.KindString)
		}
	case "apns_id":
		// What was sent under an id is sent again under the same, so that APNs'
		// log shows one notification.
		if value.Kind == message.KindString {
			text, _ := value.Text(key)
			f.id, _ = apns.ParseID(text)
		}
	}
	return nil
}

// failureWriter writes --failures.
type failureWriter struct {
	file *os.File
	w    *bufio.Writer
	json *json.Encoder
	// direct writes each line at once, so that a line that the state of --resume
	// calls settled is certainly in the file.
	direct bool
	empty  bool
	lines  int64
}

// openFailures creates the file, or continues the one of an interrupted run. It
// refuses to overwrite: the file may be the only list of what failed last time.
func openFailures(path string, resume bool) (*failureWriter, error) {
	// People's device tokens are in it.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, usage("--failures: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		switch {
		case !resume:
			err = usage("--failures %s exists and is not empty; move it away, or continue an interrupted run with --resume", path)
		default:
			err = endLine(file, info.Size())
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	f := &failureWriter{file: file, w: bufio.NewWriterSize(file, 64<<10), direct: resume, empty: info.Size() == 0}
	f.json = json.NewEncoder(f.w)
	f.json.SetEscapeHTML(false)
	return f, nil
}

// endLine completes a last line that a crash may have cut.
func endLine(file *os.File, size int64) error {
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err := file.WriteString("\n")
	return err
}

// begin writes the defaults of the batch, without which the lines would mean
// something else.
func (f *failureWriter) begin(defaults []byte) error {
	if f == nil || !f.empty || len(defaults) == 0 {
		return nil
	}
	f.empty = false
	f.w.Write(bytes.TrimSpace(defaults))
	f.w.WriteByte('\n')
	return f.w.Flush()
}

func (f *failureWriter) write(l *line, v *verdict) error {
	if f == nil {
		return nil
	}
	out := failure{
		Line: l.number, DeviceToken: v.DeviceToken, Outcome: v.Outcome, Invalid: v.invalid, Status: v.Status, Reason: v.Reason,
		Since: v.Since, Action: v.Action, Advice: v.Advice, Error: v.Error, ID: v.ID,
	}
	if v.invalid {
		out.ID = "" // nothing was sent under it
	}
	if message.IsObject(l.original) {
		out.Original = json.RawMessage(l.original)
	} else {
		out.Original = string(l.original)
	}
	f.lines++
	f.empty = false
	err := f.json.Encode(out)
	if err == nil && f.direct {
		err = f.w.Flush()
	}
	return err
}

func (f *failureWriter) close() error {
	if f == nil {
		return nil
	}
	return errors.Join(f.w.Flush(), f.file.Close())
}

// sameFile reports whether a file that is read is the one that will be written.
func sameFile(in io.Reader, path string) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && a.Mode().IsRegular() && os.SameFile(a, b)
}
