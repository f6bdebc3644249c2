package archtest

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	limits  = regexp.MustCompile(`^(Default|Max|Min)[A-Z]`)
	numbers = regexp.MustCompile(`[0-9]|\b([Oo]ne|two|three|four|five|six|seven|eight|nine|ten|half|weeks?)\b`)
)

// Whoever reads the documentation of a package finds the values of its limits, and of
// what its Config does where nothing is set: pkg.go.dev shows where a value comes from,
// and an internal package is no answer.
func TestDefaultsAreSaid(t *testing.T) {
	seen := 0
	byPackage := map[string][]*ast.File{}
	for path, content := range files(t, ".go") {
		dir := filepath.ToSlash(filepath.Dir(path))
		if top, _, _ := strings.Cut(dir, "/"); !slices.Contains([]string{"internal", "cmd", "bench", "interop", "tools"}, top) && !strings.HasSuffix(path, "_test.go") {
			byPackage[dir] = append(byPackage[dir], parse(t, path, content).file)
		}
	}
	for dir, list := range byPackage {
		constants := map[string]bool{}
		var configs []*ast.StructType
		for _, file := range list {
			for _, decl := range file.Decls {
				g, ok := decl.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range g.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for i, name := range spec.Names {
							if g.Tok != token.CONST || !limits.MatchString(name.Name) {
								continue
							}
							constants[name.Name] = true
							doc := spec.Doc.Text() + spec.Comment.Text()
							if len(g.Specs) == 1 {
								doc += g.Doc.Text()
							}
							seen++
							if i < len(spec.Values) && !plain(spec.Values[i]) && !numbers.MatchString(doc) {
								t.Errorf("%s: the comment of %s does not say its value", dir, name.Name)
							}
						}
					case *ast.TypeSpec:
						if s, ok := spec.Type.(*ast.StructType); ok && spec.Name.Name == "Config" {
							configs = append(configs, s)
						}
					}
				}
			}
		}
		for _, s := range configs {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					doc := strings.ToLower(field.Doc.Text() + field.Comment.Text())
					if constants["Default"+name.Name] && !strings.Contains(doc, "default") {
						t.Errorf("%s: the comment of Config.%s does not say its default", dir, name.Name)
					}
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d constants were found", seen)
	}
}

// plain says that an expression shows its value: literals, and units of package time.
func plain(e ast.Expr) bool {
	shows := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); !ok || x.Name != "time" {
				shows = false
			}
			return false
		case *ast.Ident:
			shows = false
		}
		return shows
	})
	return shows
}
