package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// The state of --resume is a file with a header of one block and then a bitmap:
// bit n says that line n has its outcome. A bit is written as soon as the
// outcome is known, by one small write, so what a killed process has written
// stays; every second the file is forced to the disk, which is what a power
// failure can cost. One bit for each line makes 1 MiB for 8 million lines.
const (
	resumeHeader = 4096
	resumeFormat = 1
	// fingerprintBytes is how much of the input tells it from another one. Lines
	// may be appended to the input between two runs.
	fingerprintBytes = 64 << 10
	// maxResumeLines bounds the bitmap in memory to 512 MiB.
	maxResumeLines = 1 << 32
	resumeSync     = time.Second
)

// resumeIdentity is the header: what the state belongs to.
type resumeIdentity struct {
	Format      int    `json:"aviso_resume"`
	Endpoint    string `json:"endpoint"`
	InputBytes  int    `json:"input_bytes"`
	InputSHA256 string `json:"input_sha256"`
}

// resumeState is safe for concurrent use.
type resumeState struct {
	file *os.File

	mu      sync.Mutex
	bitmap  []byte
	dirty   bool
	syncErr error

	stop chan struct{}
	done sync.WaitGroup
}

// openResume opens or makes the state for an input. It reads the beginning of
// the input and returns a reader that has it still.
func openResume(path, endpoint string, in io.Reader) (*resumeState, io.Reader, error) {
	head := make([]byte, fingerprintBytes)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	head = head[:n]
	in = io.MultiReader(bytes.NewReader(head), in)

	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, usage("--resume: %w", err)
	}
	s := &resumeState{file: file, stop: make(chan struct{})}
	if err := s.load(path, endpoint, head); err != nil {
		file.Close()
		return nil, nil, err
	}
	s.done.Go(s.syncNowAndThen)
	return s, in, nil
}

func (s *resumeState) load(path, endpoint string, head []byte) error {
	if err := lockFile(s.file); err != nil {
		return usage("--resume %s is in use by another run", path)
	}
	info, err := s.file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return usage("--resume %s is not a file", path)
	case info.Size() == 0:
		return s.create(endpoint, head)
	case info.Size() > resumeHeader+maxResumeLines/8:
		return usage("--resume %s is not the state of a batch: it is too large", path)
	}
	header := make([]byte, resumeHeader)
	n, err := s.file.ReadAt(header, 0)
	if err != nil && err != io.EOF {
		return err
	}
	var id resumeIdentity
	if n < resumeHeader || json.Unmarshal(bytes.TrimRight(header, " \n"), &id) != nil || id.Format != resumeFormat {
		return usage("--resume %s is not the state of a batch; name a file that does not exist yet to begin", path)
	}
	if id.Endpoint != endpoint {
		return usage("--resume %s belongs to a run that sent to %s, and this one sends to %s", path, id.Endpoint, endpoint)
	}
	if id.InputBytes > len(head) || id.InputBytes < 0 || id.InputSHA256 != fingerprint(head[:id.InputBytes]) {
		return usage("--resume %s belongs to another input: the beginning of --batch has changed since", path)
	}
	s.bitmap, err = io.ReadAll(io.NewSectionReader(s.file, resumeHeader, info.Size()-resumeHeader))
	return err
}

func fingerprint(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// create writes the header. Until it is whole and on the disk no line is sent, so
// a crash leaves a file that is either empty or has it.
func (s *resumeState) create(endpoint string, head []byte) error {
	text, err := json.Marshal(resumeIdentity{resumeFormat, endpoint, len(head), fingerprint(head)})
	if err != nil {
		return err
	}
	if len(text) >= resumeHeader {
		return usage("--endpoint is too long")
	}
	header := append(bytes.TrimSpace(text), bytes.Repeat([]byte{' '}, resumeHeader-1-len(text))...)
	if _, err := s.file.WriteAt(append(header, '\n'), 0); err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	return s.file.Sync()
}

// has reports whether a line has its outcome.
func (s *resumeState) has(line int64) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := line / 8
	return at < int64(len(s.bitmap)) && s.bitmap[at]&(1<<(line%8)) != 0
}

// record notes that a line has its outcome. When it returns, a crash of this
// process does not forget it.
func (s *resumeState) record(line int64) error {
	if s == nil {
		return nil
	}
	if line >= maxResumeLines {
		return fmt.Errorf("--resume: the batch has more than %d lines; split it", int64(maxResumeLines))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := line / 8
	if grow := at + 1 - int64(len(s.bitmap)); grow > 0 {
		s.bitmap = append(s.bitmap, make([]byte, grow)...)
	}
	s.bitmap[at] |= 1 << (line % 8)
	s.dirty = true
	if _, err := s.file.WriteAt(s.bitmap[at:at+1], resumeHeader+at); err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	return s.syncErr
}

func (s *resumeState) syncNowAndThen() {
	tick := time.NewTicker(resumeSync)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		dirty := s.dirty
		s.dirty = false
		s.mu.Unlock()
		if !dirty {
			continue
		}
		if err := s.file.Sync(); err != nil {
			s.mu.Lock()
			s.syncErr = fmt.Errorf("--resume: %w", err)
			s.mu.Unlock()
		}
	}
}

func (s *resumeState) close() error {
	if s == nil {
		return nil
	}
	close(s.stop)
	s.done.Wait()
	return errors.Join(s.file.Sync(), s.file.Close())
}
