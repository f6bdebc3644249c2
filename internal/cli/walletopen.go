package cli

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/wallet"
)

func (a *app) walletOpenCommand() *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use:   "open FILE",
		Short: "Show what is inside a pass or order, or unpack it",
		Long: `Show what is inside a package: whose it is, which design and languages it has,
and its files. With -d the files are unpacked into a new folder. Names that lead
out of it, links, and archives that unpack to something huge are refused.

Nothing is verified; aviso wallet verify does that. The exit code is 3 if it is
neither a pass, nor several in one file, nor an order, or something in it was
refused.`,
		Example: `  aviso wallet open concert.pkpass
  aviso wallet open concert.pkpass -d concert.pass`,
		Args: oneArgument("package"),
		RunE: func(_ *cobra.Command, args []string) error { return a.walletOpen(args[0], dir) },
	}
	cmd.Flags().StringVarP(&dir, "directory", "d", "", "unpack into this `FOLDER`, which must not exist yet")
	return cmd
}

// openedJSON is what open prints for programs. The authentication token of the
// pass is not in it.
type openedJSON struct {
	Kind             string       `json:"kind"`
	TypeIdentifier   string       `json:"type_identifier"`
	TeamIdentifier   string       `json:"team_identifier,omitempty"`
	SerialNumber     string       `json:"serial_number"`
	OrganizationName string       `json:"organization_name,omitempty"`
	Description      string       `json:"description,omitempty"`
	Styles           []string     `json:"styles"`
	Languages        []string     `json:"languages"`
	Files            []openedFile `json:"files"`
	Folder           string       `json:"folder,omitempty"`
	// Problems are those of reading; files that were refused are not among Files.
	Problems wallet.Problems `json:"problems"`
}

type openedFile struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

func (a *app) walletOpen(path, dir string) error {
	data, err := a.readFile(path, maxPackageFile)
	if err != nil {
		return usage("%w", err)
	}
	p, problems, err := openPackage(path, data)
	if err != nil {
		return err
	}
	if p == nil {
		if a.json {
			err = a.printJSON(newProblemsJSON(problems))
		} else {
			a.printProblems(problems)
		}
		return errors.Join(err, exit(ExitRejected))
	}
	if dir != "" {
		// There may be an authentication token among them.
		if err := writeFolder(dir, p.Files, 0o600); err != nil {
			return err
		}
	}
	v := newOpened(p)
	v.Folder = dir
	if a.json {
		err = a.printJSON(v)
	} else {
		a.printOpened(path, v)
		a.printProblems(v.Problems)
	}
	if err == nil && (p.Pass == nil && p.Order == nil && !holdsPasses(p.Files) || len(v.Problems.Errors()) > 0) {
		err = exit(ExitRejected)
	}
	return err
}

func (a *app) printOpened(path string, v openedJSON) {
	line := func(name, text string) {
		if text != "" {
			a.printf("  %-12s %s\n", name, printable(text))
		}
	}
	a.printf("%s: %s\n", a.paint(a.stdout, bold, path), v.Kind)
	line("type", v.TypeIdentifier)
	line("team", v.TeamIdentifier)
	line("serial", v.SerialNumber)
	line("from", v.OrganizationName)
	line("description", v.Description)
	line("design", strings.Join(v.Styles, ", "))
	line("languages", strings.Join(v.Languages, ", "))
	for _, f := range v.Files {
		a.printf("%10s  %s\n", grouped(int64(f.Bytes)), printable(f.Name))
	}
	if v.Folder != "" {
		a.printf("%s holds them.\n", filepath.Clean(v.Folder))
	}
}

func newOpened(p *wallet.Package) openedJSON {
	v := openedJSON{Kind: "a package without a readable pass.json or order.json", Styles: []string{}, Languages: languagesOf(p.Files), Files: []openedFile{}, Problems: append(wallet.Problems{}, p.Problems()...)}
	switch {
	case p.Pass != nil:
		v.Kind, v.TypeIdentifier, v.TeamIdentifier = "pass", p.Pass.PassTypeIdentifier, p.Pass.TeamIdentifier
		v.SerialNumber, v.OrganizationName, v.Description = p.Pass.SerialNumber, p.Pass.OrganizationName, p.Pass.Description
		v.Styles = append(v.Styles, stylesOf(p.Pass)...)
	case p.Order != nil:
		v.Kind, v.TypeIdentifier, v.SerialNumber = "order", p.Order.OrderTypeIdentifier, p.Order.OrderIdentifier
	case holdsPasses(p.Files):
		v.Kind = "several passes"
		// That it is no pass itself is no news here; that something in it was refused is.
		v.Problems = slices.DeleteFunc(v.Problems, func(p wallet.Problem) bool { return p.File == "" && p.Path == "" })
	}
	for _, name := range sortedKeys(p.Files) {
		v.Files = append(v.Files, openedFile{name, len(p.Files[name])})
	}
	return v
}

// holdsPasses says whether they are the files of a .pkpasses.
func holdsPasses(files wallet.Files) bool {
	for name := range files {
		if !strings.HasSuffix(name, ".pkpass") {
			return false
		}
	}
	return len(files) > 0
}

// stylesOf names the designs of a pass, those it prefers first.
func stylesOf(p *wallet.Pass) (names []string) {
	for _, s := range p.PreferredStyleSchemes {
		names = append(names, string(s))
	}
	for _, s := range []struct {
		name  string
		there bool
	}{
		{"boardingPass", p.BoardingPass != nil},
		{"coupon", p.Coupon != nil},
		{"eventTicket", p.EventTicket != nil},
		{"generic", p.Generic != nil},
		{"storeCard", p.StoreCard != nil},
		{"posterGeneric", p.PosterGeneric != nil},
	} {
		if s.there && !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

func languagesOf(files wallet.Files) []string {
	found := map[string]bool{}
	for name := range files {
		if folder, _, ok := strings.Cut(name, "/"); ok && strings.HasSuffix(folder, ".lproj") {
			found[strings.TrimSuffix(folder, ".lproj")] = true
		}
	}
	return slices.AppendSeq([]string{}, slices.Values(sortedKeys(found)))
}

func sortedKeys[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }

// asInvalid returns the problems of an error that lists some.
func asInvalid(err error) (wallet.Problems, bool) {
	if invalid, ok := errors.AsType[*wallet.InvalidError](err); ok {
		return invalid.Problems, true
	}
	return nil, false
}
