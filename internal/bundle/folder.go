package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

var errTooMany = errors.New("too many files")

// ReadFolder reads the source of a package from a folder. What lies outside it
// cannot be reached: links are refused, and root guards what is opened.
//
// Files that the system left behind are skipped. A manifest.json or signature is
// read like any other file.
//
// The error is *[Error] if the folder could be read but is not in order; then
// the package holds the files that are.
func ReadFolder(root *os.Root, limits Limits) (*Package, error) {
	limits = limits.orDefault()
	p := &Package{}
	var found problems
	var names []string
	total, entries := int64(0), 0
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		if entries++; entries > limits.Files {
			return errTooMany
		}
		if Junk(name) {
			p.Skipped = append(p.Skipped, name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if problem, fix := checkName(name, limits); problem != "" {
			found.add(name, problem, fix)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			names = append(names, name+"/")
			return nil
		}
		names = append(names, name)
		if !d.Type().IsRegular() {
			found.add(name, notRegular(d.Type()), "put a copy of the file there")
			return nil
		}
		data, problem, err := readFile(root, name, limits, limits.TotalBytes-total)
		switch {
		case err != nil:
			return err
		case problem != "":
			found.add(name, problem, "")
		default:
			total += int64(len(data))
			p.Files = append(p.Files, File{Name: name, Data: data})
		}
		return nil
	})
	if errors.Is(err, errTooMany) {
		found.add("", fmt.Sprintf("there are more than %d files", limits.Files), "check that this is the right folder")
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	checkClashes(names, &found)
	p.sort()
	return p, found.err()
}

func notRegular(mode fs.FileMode) string {
	if mode&fs.ModeSymlink != 0 {
		return "it is a symbolic link, which packages cannot hold"
	}
	return "it is not a regular file"
}

// readFile looks at the file again once it is open, since something else may have
// taken its name in the meantime: a link to another file of the folder, or a pipe,
// for which nobody waits.
func readFile(root *os.Root, name string, limits Limits, left int64) (data []byte, problem string, err error) {
	named, err := root.Lstat(name)
	if err != nil {
		return nil, "", err
	}
	if !named.Mode().IsRegular() {
		return nil, notRegular(named.Mode()), nil
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	opened, err := file.Stat()
	if err != nil {
		return nil, "", err
	}
	if !os.SameFile(named, opened) {
		return nil, "it was replaced while it was read", nil
	}
	data, err = io.ReadAll(io.LimitReader(file, min(limits.FileBytes, left)+1))
	switch {
	case err != nil:
		return nil, "", err
	case int64(len(data)) > limits.FileBytes:
		return nil, fmt.Sprintf("it is larger than %d bytes", limits.FileBytes), nil
	case int64(len(data)) > left:
		return nil, fmt.Sprintf("with it the files are larger than %d bytes together", limits.TotalBytes), nil
	}
	return data, "", nil
}
