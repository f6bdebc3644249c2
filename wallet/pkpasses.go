package wallet

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"aviso.example/internal/bundle"
)

// The limits of a .pkpasses file ("Distributing and updating a pass").
const (
	maxPasses      = 10
	maxPassesBytes = 150_000_000
)

// WritePasses writes a .pkpasses file: several signed passes that are added
// together, 1 to 10 of them and 150 MB at most. It looks at no signature.
func WritePasses(w io.Writer, passes ...[]byte) error {
	c := &checker{}
	total := 0
	var files []bundle.File
	for i, pass := range passes {
		name := fmt.Sprintf("%d.pkpass", i+1)
		total += len(pass)
		if p, err := Open(bytes.NewReader(pass), int64(len(pass))); err != nil || p.Pass == nil || p.Files[fileSignature] == nil {
			c.problems = append(c.problems, Problem{Error, name, "", "is no signed pass", "sign it first"})
		}
		files = append(files, bundle.File{Name: name, Data: pass})
	}
	c.passes(len(passes), total)
	if err := c.problems.Err(); err != nil {
		return err
	}
	return bundle.Zip(w, time.Time{}, files...)
}

func isPassName(name string) bool { return strings.EqualFold(path.Ext(name), ".pkpass") }

// bundleOfPasses is the problem of whoever takes a .pkpasses file for a pass.
var bundleOfPasses = Problem{Error, "", "", "holds several passes, as .pkpasses files do, and is none itself", "unzip it, and name one of the passes"}

// isBundle tells a .pkpasses file from a pass.
func (f Files) isBundle() bool {
	for name := range f {
		if isPassName(name) {
			return true
		}
	}
	return false
}

func (c *checker) passes(n, total int) {
	switch {
	case n == 0:
		c.problems = append(c.problems, Problem{Error, "", "", "there are no passes", "add 1 to 10 passes"})
	case n > maxPasses:
		c.problems = append(c.problems, Problem{Error, "", "", fmt.Sprintf("there are %d passes; %d are the most", n, maxPasses), "make several files"})
	}
	if total > maxPassesBytes {
		c.problems = append(c.problems, Problem{Error, "", "", "the passes have more than 150 MB together", "make several files"})
	}
}

// ReadPasses reads a .pkpasses file. It returns the passes by their names, and
// everything that is wrong with the file; what is wrong with a pass is found by
// opening it with [Open]. The error says that this is no zip, or that r fails.
func ReadPasses(r io.ReaderAt, size int64) (Files, Problems, error) {
	read, err := bundle.ReadZip(r, size, bundle.Limits{FileBytes: maxPackage, TotalBytes: maxPassesBytes + 1<<20})
	problems, err := bundleProblems(err)
	if err != nil {
		return nil, nil, err
	}
	c := &checker{problems: problems}
	passes, total := Files{}, 0
	if read == nil {
		read = &bundle.Package{}
	}
	for _, f := range read.Files {
		// Their names are free. What is no pass is found by opening it.
		if !isPassName(f.Name) && !bytes.HasPrefix(f.Data, []byte("PK\x03\x04")) {
			c.inFile(f.Name, "leave it out", "is no .pkpass file")
			continue
		}
		passes[f.Name] = f.Data
		total += len(f.Data)
	}
	c.passes(len(passes), total)
	return passes, c.problems.sort(), nil
}
