package bundle

import (
	"slices"
	"strings"
)

// File is one file of a package.
type File struct {
	// Name is its path inside the package, with / between folders.
	Name string
	Data []byte
}

// Package is what [ReadZip] or [ReadFolder] read.
type Package struct {
	// Files are sorted by name. Folders are not among them.
	Files []File
	// Skipped are files of a folder that were left out; see [Junk].
	Skipped []string
}

// Get returns the content of a file.
func (p *Package) Get(name string) ([]byte, bool) {
	at, found := slices.BinarySearchFunc(p.Files, name, func(f File, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return nil, false
	}
	return p.Files[at].Data, true
}

func (p *Package) sort() {
	slices.SortStableFunc(p.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}
