package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is what can be read in one sitting.
const maxLines = 600

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for name, p := range packages(t) {
		switch {
		case len(p.GoFiles) == 0:
		case p.Doc == "":
			t.Errorf("package %s has no comment; it says in a sentence what the package is for", name)
		case !strings.HasPrefix(p.Doc, "Package "+filepath.Base(name)+" ") && !strings.HasPrefix(p.Doc, "Command "+filepath.Base(name)+" "):
			t.Errorf("the comment of package %s begins %.40q; it should begin with Package or Command and the name", name, p.Doc)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for path, content := range files(t, ".go") {
		if n := bytes.Count(content, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines; more than %d are not read in one sitting", path, n, maxLines)
		}
	}
}

func TestSkipsHaveAReason(t *testing.T) {
	for path, content := range files(t, "_test.go") {
		f := parse(t, path, content)
		ast.Inspect(f.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "SkipNow" || s.Sel.Name == "Skip" && len(call.Args) == 0) {
				t.Errorf("%s: a skipped test says why it is skipped", f.at(call.Pos()))
			}
			return true
		})
	}
}

// wordsBefore may stand before that word, and make clear which one it is.
var wordsBefore = []string{
	"device", "provider", // ours
	"activity",    // "Live Activity tokens": the device tokens of Live Activities
	"json", "xml", // a parser's
	"authentication", // a Wallet pass's, Apple's name for it
}

// TestNoBareTokens looks for "token" alone. With two kinds in every other
// sentence, readers can only guess which is meant; the worst mistakes in this
// trade come from guessing.
func TestNoBareTokens(t *testing.T) {
	for path, content := range files(t, ".go") {
		f := parse(t, path, content)
		for _, group := range f.file.Comments {
			for _, near := range bareTokens(group.Text()) {
				t.Errorf("%s: say device token or provider token in %q", f.at(group.Pos()), near)
			}
		}
	}
	for path, content := range files(t, ".md") {
		for _, near := range bareTokens(string(content)) {
			t.Errorf("%s: say device token or provider token in %q", path, near)
		}
	}
}

var (
	// A word joined to others, like input-push-token, token-based, t.Token or
	// a path, is a name. Quoted and code-formatted text is verbatim.
	bareToken = regexp.MustCompile(`(?i)(?:^|[\s("*_—])tokens?(?:$|[\s.,;:!?)'"*_—])`)
	verbatim  = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`|\"[^\"\n]*\"")
	lastWord  = regexp.MustCompile(`(?i)([a-z.]+)[\s*_]*$`)
)

func bareTokens(text string) (near []string) {
	text = verbatim.ReplaceAllString(text, "\"…\"")
	for _, m := range bareToken.FindAllStringIndex(text, -1) {
		if m[0] == 0 && strings.HasPrefix(text, "Token ") {
			continue // the comment of something that is called so
		}
		word := ""
		if w := lastWord.FindStringSubmatch(text[:m[0]]); w != nil {
			word = strings.ToLower(w[1])
		}
		if !slices.Contains(wordsBefore, word) {
			near = append(near, strings.Join(strings.Fields(text[max(0, m[0]-30):min(len(text), m[1]+20)]), " "))
		}
	}
	return near
}

func TestBareTokensAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"renew the token now":                       1,
		"Tokens expire.":                            1,
		"Token returns the provider token.":         0,
		"the device token":                          0,
		"a provider\ntoken":                         0,
		"device and provider tokens":                0,
		"set input-push-token, or `token`":          0,
		"\"Establishing a token-based connection\"": 0,
		"a token-based connection":                  0,
		"**device tokens**":                         0,
		"BadDeviceToken is not a token":             1,
	} {
		if got := bareTokens(text); len(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

type parsed struct {
	set  *token.FileSet
	file *ast.File
}

func (p parsed) at(pos token.Pos) token.Position { return p.set.Position(pos) }

func parse(t *testing.T, path string, content []byte) parsed {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, content, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return parsed{set, file}
}

// files returns all files of the repository that end so, other modules
// included, with what is not ours left out.
func files(t *testing.T, suffix string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		content, err := os.ReadFile(path)
		short, _ := filepath.Rel(root, path)
		found[short] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
