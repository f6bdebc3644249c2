package bundle

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of the two files that [Template.Pack] makes.
const (
	ManifestName  = "manifest.json"
	SignatureName = "signature"
)

// Junk reports whether a file is one that macOS or Windows leaves behind and
// that must be neither in a manifest nor in an archive: .DS_Store, AppleDouble
// files (._name), anything in __MACOSX, Thumbs.db and desktop.ini.
func Junk(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		switch strings.ToLower(part) {
		case ".ds_store", "__macosx", "thumbs.db", "desktop.ini":
			return true
		}
		if strings.HasPrefix(part, "._") {
			return true
		}
	}
	return false
}

// checkName says what is wrong with the name of a file in a package, or nothing.
func checkName(name string, limits Limits) (problem, fix string) {
	const relative = "name files relative to the root of the package, such as en.lproj/pass.strings"
	switch {
	case name == "":
		return "a file has no name", ""
	case len(name) > limits.NameBytes:
		return fmt.Sprintf("its name has %d bytes, and %d are possible", len(name), limits.NameBytes), ""
	case !utf8.ValidString(name):
		return "its name is not UTF-8", "rename it"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "its name holds a control character", "rename it"
	case strings.Contains(name, `\`):
		return "its name holds a backslash", "separate folders with / also on Windows"
	case strings.HasPrefix(name, "/"), len(name) > 1 && name[1] == ':':
		return "its name is an absolute path", relative
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "its name leads out of the package", relative
	case path.Clean(name) != name:
		return "its name holds . or an empty folder name", relative
	case Junk(name):
		return "it is a file that the system left behind", "leave it out (on macOS: zip -X -r out.zip . -x '*.DS_Store')"
	}
	return "", ""
}

// folded makes names equal that are one file on a device, whose file system
// does not tell upper from lower case.
func folded(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// checkClashes finds names that cannot be side by side in one folder. Names that
// end with / are folders.
func checkClashes(names []string, found *problems) {
	files, folders := map[string]string{}, map[string]string{}
	for _, name := range names {
		folder, isFolder := strings.CutSuffix(name, "/")
		if !isFolder {
			if other, ok := files[folded(name)]; ok && other == name {
				found.add(name, "it is there twice", "")
			} else if ok {
				found.add(name, "it differs from "+shown(other)+" in case only, and a device keeps one of the two", "rename one")
			}
			files[folded(name)] = name
			folder = path.Dir(name)
		}
		for ; folder != "." && folder != "/" && folder != ""; folder = path.Dir(folder) {
			if _, known := folders[folded(folder)]; known {
				break
			}
			folders[folded(folder)] = folder
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if _, ok := folders[folded(name)]; ok {
			found.add(name, "it is a file and a folder", "rename one")
		}
	}
}

// checkNested finds the most common mistake: zipping the folder instead of what
// is in it.
func checkNested(names []string, found *problems) {
	top := ""
	for _, name := range names {
		if Junk(name) {
			continue
		}
		folder, _, nested := strings.Cut(name, "/")
		if !nested || top != "" && folder != top {
			return
		}
		top = folder
	}
	// A localisation and an icon set are folders of a package.
	if ext := path.Ext(top); top == "" || ext == ".lproj" || ext == ".iconset" {
		return
	}
	found.add(top+"/", "everything is in this folder, and nothing where devices look", "zip what is in the folder, not the folder")
}
