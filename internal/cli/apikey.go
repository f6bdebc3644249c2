package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"aviso.example/internal/namedfile"
)

const (
	// apiKeyVariable may hold the API key, for the server and for its clients.
	apiKeyVariable = "AVISO_API_KEY"
	// apiKeyName is the file in the data folder that holds a generated API key.
	apiKeyName = "api-key"
)

// ownAPIKey returns the API key in the data folder, and makes one if there is none. A
// file with nothing in it is what a crash left that came before there was a key.
func ownAPIKey(dir string, generate func() string) (key, path string, made bool, err error) {
	path = filepath.Join(dir, apiKeyName)
	if err = namedfile.Check(path); err == nil {
		key, err = readAPIKeyFile(path)
	}
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode().IsRegular() && info.Size() == 0 {
		err = fs.ErrNotExist
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("%s: %w; remove the file, and another one is made", path, err)
		}
		return key, path, false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", path, false, err
	}
	key = generate()
	return key, path, true, writeOutput(path, []byte(key+"\n"), 0o600)
}

// warnOfOthers warns if others on this machine can read the API key in the data folder,
// or put something into the folder. Groups are somebody's choice.
func warnOfOthers(dir string, log *slog.Logger) {
	if runtime.GOOS == "windows" {
		return // where modes say nothing
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
		log.Warn("everybody on this machine can write in the data folder, and so read and change what is sent; chmod o-w it", "folder", dir, "mode", info.Mode().Perm())
	}
	path := filepath.Join(dir, apiKeyName)
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine can read the API key; chmod 600 the file", "file", path, "mode", info.Mode().Perm())
	}
}
