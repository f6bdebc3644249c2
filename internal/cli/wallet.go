package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/wallet"
)

func (a *app) walletCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wallet",
		Short: "Begin, check, sign, look into and verify Wallet passes",
		Long: `Make a Wallet pass, from a sample folder to a signed package, and look into those
that others made. Nothing here talks to Apple: a pass is a zip of files with
their hashes and a signature, and everything that a device checks can be checked
before it is on one.`,
		Example: `  aviso wallet new concert.pass --style eventTicket --test-certificate
  aviso wallet check concert.pass
  aviso wallet sign concert.pass
  aviso wallet preview concert.pkpass -o concert.png
  aviso wallet verify concert.pkpass`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.walletNewCommand(), a.walletCheckCommand(), a.walletSignCommand(), a.walletOpenCommand(), a.walletVerifyCommand(), a.walletPreviewCommand())
	return cmd
}

// maxPackageFile bounds what is read of a package. Apple allows 150 MB for a
// bundle of passes, and a single pass is far below.
const maxPackageFile = 160 << 20

// source is a pass or order with the files it is made of.
type source struct {
	path     string
	files    wallet.Files
	problems wallet.Problems
}

// readSource reads a folder or a zip, signed or not.
func (a *app) readSource(path string) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage("%w", err)
	}
	s := &source{path: path}
	if info.IsDir() {
		s.files, s.problems, err = wallet.ReadFolder(path)
	} else {
		var data []byte
		if data, err = a.readFile(path, maxPackageFile); err == nil {
			if !bytes.HasPrefix(data, []byte("PK")) {
				return nil, usage("%s is neither a folder nor a zip: give the folder of a pass, or a .pkpass or .order", path)
			}
			s.files, s.problems, err = wallet.ReadZip(bytes.NewReader(data), int64(len(data)))
		}
	}
	if err != nil {
		return nil, usage("%s: %w", path, err)
	}
	// A package has these, and nobody who names one needs to hear of it.
	s.problems = slices.DeleteFunc(s.problems, func(p wallet.Problem) bool {
		return p.Severity == wallet.Warning && (p.File == "manifest.json" || p.File == "signature")
	})
	return s, nil
}

// defaultOutput names a file after the folder or package it is made of.
func defaultOutput(path, extension string) string {
	path = filepath.Clean(path)
	if name := filepath.Base(path); name == "." || name == ".." {
		if abs, err := filepath.Abs(path); err == nil {
			path = filepath.Join(path, filepath.Base(abs))
		}
	}
	switch ext := filepath.Ext(path); ext {
	case ".pass", ".pkpass", ".pkpasstemplate", ".order", ".zip":
		path = strings.TrimSuffix(path, ext)
	}
	return path + extension
}

// writeOutput replaces a file as a whole or not at all, so that nobody finds half
// of one.
func writeOutput(path string, data []byte, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usage("--output %s is a folder; name the file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".aviso-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // once renamed, there is none
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// writeFolder makes a folder with files that nothing had before: the folder must
// not exist, or be empty. What it began it takes away if it cannot be finished.
func writeFolder(dir string, files map[string][]byte, mode fs.FileMode) (err error) {
	made := false
	switch err := os.Mkdir(dir, mode|0o100|(mode&0o044)>>2); {
	case err == nil:
		made = true
	case errors.Is(err, fs.ErrExist):
		if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
			return usage("%s is there already, and nothing is overwritten: choose another name", dir)
		}
	default:
		return usage("%w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	defer func() {
		if err != nil && made {
			os.RemoveAll(dir)
		}
	}()
	for name, data := range files {
		if folder := filepath.Dir(filepath.FromSlash(name)); folder != "." {
			if err := root.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		f, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}

// problemsJSON is what check prints for programs.
type problemsJSON struct {
	Valid    bool            `json:"valid"`
	Errors   int             `json:"errors"`
	Warnings int             `json:"warnings"`
	Problems wallet.Problems `json:"problems"`
}

func newProblemsJSON(p wallet.Problems) problemsJSON {
	errors, warnings := p.Errors(), p.Warnings()
	return problemsJSON{len(errors) == 0, len(errors), len(warnings), append(append(wallet.Problems{}, errors...), warnings...)}
}

// printProblems prints problems, errors first, each with its fix.
func (a *app) printProblems(p wallet.Problems) {
	for _, list := range []wallet.Problems{p.Errors(), p.Warnings()} {
		for _, problem := range list {
			colour := yellow
			if problem.Severity == wallet.Error {
				colour = red
			}
			// Names of files come from anybody.
			place := strings.TrimSpace(problem.File + " " + problem.Path)
			if place != "" {
				place = printable(place) + ": "
			}
			a.printf("%s %s%s\n", a.paint(a.stdout, colour, fmt.Sprintf("%-8s", problem.Severity)), place, printable(problem.Message))
			if problem.Fix != "" {
				a.printf("%-8s fix: %s\n", "", printable(problem.Fix))
			}
		}
	}
}
