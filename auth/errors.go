package auth

import (
	"errors"
	"io"
	"strings"

	"aviso.example/internal/namedfile"
)

// What a caller can act upon; test with errors.Is.
var (
	// ErrPasswordRequired says that the file is encrypted and that no password
	// was given: ask for one.
	ErrPasswordRequired = errors.New("a password is required")
	// ErrWrongPassword says that the password does not open the file: ask
	// again. A file damaged in its encrypted part looks the same.
	ErrWrongPassword = errors.New("the password is wrong")
	// ErrNoPrivateKey says that the file holds a certificate and not its
	// private key, as every download from Apple's portal does.
	ErrNoPrivateKey = errors.New("the private key is missing")
	// ErrNoCertificate says that the file holds a private key and no
	// certificate.
	ErrNoCertificate = errors.New("the certificate is missing")
	// ErrKeyMismatch says that the private key belongs to none of the
	// certificates beside it.
	ErrKeyMismatch = errors.New("the private key does not belong to the certificate")
	// ErrTooLarge says that the file is larger than any credential.
	ErrTooLarge = errors.New("the file is too large")
	// ErrTooExpensive says that opening the file would take more computing than
	// an honest file asks for; see [MaxKeyDerivationWork].
	ErrTooExpensive = errors.New("the file asks for too much computing")
)

// InputError says what is wrong with something that a user supplied, and what
// to do about it. It never contains the content of a file or a password.
type InputError struct {
	// Field is what was wrong: "key id", "team id", "signing key",
	// "certificate", "file".
	Field string
	// Problem is what is wrong with it.
	Problem string
	// Fix is what to do, or empty.
	Fix string
	// Err is one of this package's errors, or the error of the parser that
	// refused the file, or nil.
	Err error
}

func (e *InputError) Error() string {
	var b strings.Builder
	b.WriteString("auth: ")
	b.WriteString(e.Field)
	b.WriteString(": ")
	b.WriteString(e.Problem)
	if e.Fix != "" {
		b.WriteString("; ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *InputError) Unwrap() error { return e.Err }

// FileError adds the path of the file to what went wrong with it.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	text := strings.TrimPrefix(e.Err.Error(), "auth: ")
	// An error of the file system names the path already.
	if strings.Contains(text, e.Path) {
		return "auth: " + text
	}
	return "auth: " + e.Path + ": " + text
}

// Unwrap returns Err.
func (e *FileError) Unwrap() error { return e.Err }

// MaxFileSize is the largest key or certificate file that is read, in bytes. A
// .p12 with its whole chain is below 10 KiB; an exported keychain with dozens
// of identities stays below this too.
const MaxFileSize = 256 << 10

func checkSize(data []byte) error {
	if len(data) > MaxFileSize {
		return &InputError{
			Field:   "file",
			Problem: "it is larger than 256 KiB, and keys and certificates are a few KiB",
			Fix:     "check that this is the right file",
			Err:     ErrTooLarge,
		}
	}
	if len(data) == 0 {
		return &InputError{
			Field:   "file",
			Problem: "it is empty",
			Fix:     "check the path, or that the environment variable or secret it comes from is set",
		}
	}
	return nil
}

// readFile reads at most one byte more than MaxFileSize, so that a path to a
// huge or endless file costs nothing and is still reported as too large.
func readFile(path string) ([]byte, error) {
	file, err := namedfile.Open(path)
	if _, secret := errors.AsType[*namedfile.NotANameError](err); secret {
		return nil, &InputError{Field: "file", Problem: err.Error(), Err: err}
	} else if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	return data, nil
}
