package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// apiKeyVariable may hold the API key, for the server and for its clients.
	apiKeyVariable = "AVISO_API_KEY"
	// apiKeyName is the file in the data folder that holds a generated API key.
	apiKeyName = "api-key"
)

// ownAPIKey returns the API key in the data folder, and makes one if there is
// none.
func ownAPIKey(dir string, generate func() string) (key, path string, made bool, err error) {
	path = filepath.Join(dir, apiKeyName)
	if key, err = readAPIKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("%s: %w; remove the file, and another one is made", path, err)
		}
		return key, path, false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", path, false, err
	}
	key = generate()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", path, false, err
	}
	_, err = fmt.Fprintln(f, key)
	return key, path, true, errors.Join(err, f.Sync(), f.Close())
}
