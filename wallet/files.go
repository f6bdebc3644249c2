package wallet

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"aviso.example/internal/bundle"
)

// The names of files that have a meaning.
const (
	fileManifest        = "manifest.json"
	fileSignature       = "signature"
	filePass            = "pass.json"
	fileOrder           = "order.json"
	filePersonalization = "personalization.json"
	fileTooling         = "tooling.json" // Apple's pass-builder writes it
)

// The content types with which packages are sent ("Distributing and updating a
// pass"; for orders, Apple's page of the endpoint that returns one).
const (
	ContentTypePass   = "application/vnd.apple.pkpass"
	ContentTypePasses = "application/vnd.apple.pkpasses"
	ContentTypeOrder  = "application/vnd.apple.finance.order"
)

// Files are the files of a pass or an order by their names, with / between
// folders: everything but manifest.json and signature, which are made on
// signing.
type Files map[string][]byte

// names returns the names in order.
func (f Files) names() []string { return slices.Sorted(maps.Keys(f)) }

// isOrder tells the two kinds of packages apart.
func (f Files) isOrder() bool {
	_, order := f[fileOrder]
	_, pass := f[filePass]
	return order && !pass
}

// maxPackage bounds what is read. Passes have no documented limit; 50 MiB is
// far more than a pass that anybody wants to download.
const maxPackage = 50 << 20

var readLimits = bundle.Limits{FileBytes: 32 << 20, TotalBytes: maxPackage}

// ReadFolder reads the source of a pass or order from a folder. It never leaves
// the folder and follows no links. Files that systems leave behind, such as
// .DS_Store, are left out with a warning, and so are manifest.json and signature,
// which an unpacked pass has. Files that cannot be part of a package are errors
// among the problems. The error says that the folder cannot be read.
func ReadFolder(dir string) (Files, Problems, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("wallet: %w", err)
	}
	defer root.Close()
	p, err := bundle.ReadFolder(root, readLimits)
	return sourceFiles(p, err)
}

// ReadZip reads the source of a pass or order from a zip, such as a signed pass,
// as ReadFolder reads a folder.
func ReadZip(r io.ReaderAt, size int64) (Files, Problems, error) {
	p, err := bundle.ReadZip(r, size, readLimits)
	return sourceFiles(p, err)
}

func sourceFiles(p *bundle.Package, err error) (Files, Problems, error) {
	problems, err := bundleProblems(err)
	if err != nil {
		return nil, nil, err
	}
	if p == nil {
		p = &bundle.Package{}
	}
	files := Files{}
	for _, f := range p.Files {
		if f.Name == fileManifest || f.Name == fileSignature {
			problems = append(problems, Problem{Warning, f.Name, "", "is left out", "it is made anew on signing"})
			continue
		}
		files[f.Name] = f.Data
	}
	for _, name := range p.Skipped {
		problems = append(problems, Problem{Warning, name, "", "is left out", "delete it; systems leave such files behind"})
	}
	return files, problems.sort(), nil
}

// bundleProblems translates what package bundle found. Any other error is
// returned as it is.
func bundleProblems(err error) (Problems, error) {
	if err == nil {
		return nil, nil
	}
	bad, ok := errors.AsType[*bundle.Error](err)
	if !ok {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	var problems Problems
	for _, p := range bad.Problems {
		problems = append(problems, Problem{Error, p.Path, "", p.Problem, p.Fix})
	}
	return problems, nil
}

// localized splits a name such as "fr.lproj/icon.png" into language and rest.
func localized(name string) (language, rest string, ok bool) {
	folder, rest, nested := strings.Cut(name, "/")
	language, ok = strings.CutSuffix(folder, ".lproj")
	return language, rest, ok && nested
}
