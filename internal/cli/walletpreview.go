package cli

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/internal/passview"
	"aviso.example/wallet"
)

type walletPreviewFlags struct {
	output, language, appearance, zone string
	scale                              int
	classic                            bool
}

func (a *app) walletPreviewCommand() *cobra.Command {
	f := &walletPreviewFlags{}
	cmd := &cobra.Command{
		Use:   "preview PASS",
		Short: "Draw a pass as a picture or a page",
		Long: `Draw front and back of a pass with its barcode, close enough to Wallet's drawing
to recognise it. PASS is a folder or a package, signed or not. The name after -o
says what is made: a picture (.png), or a page that any browser shows (.html),
which follows the reader's light or dark appearance.

Where Wallet draws something else than this does, a note says so. Dates are shown
in the zone in which the pass writes them, unless --time-zone says where the
device is.`,
		Example: `  aviso wallet preview concert.pkpass -o concert.png
  aviso wallet preview concert.pass -o concert.html --language it`,
		Args: oneArgument("pass"),
		RunE: func(_ *cobra.Command, args []string) error { return a.walletPreview(f, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.output, "output", "o", "", "write to this `FILE`, .png or .html (default PASS.png)")
	flags.StringVar(&f.language, "language", "", "show the localisation of this `LANGUAGE`, such as fr (default en, or else none)")
	flags.StringVar(&f.appearance, "appearance", "light", "the device's `NAME` of appearance in a picture: light, dark or both")
	flags.IntVar(&f.scale, "scale", 2, "make `N` pixels of a point in a picture: 1 to 4")
	flags.StringVar(&f.zone, "time-zone", "", "`NAME` of the time zone of the device, such as Europe/Berlin")
	flags.BoolVar(&f.classic, "classic", false, "draw the classic design also where the pass prefers a newer one")
	return cmd
}

// appearances are the values of --appearance.
var appearances = map[string][]passview.Appearance{
	"light": {passview.Light}, "dark": {passview.Dark}, "both": {passview.Light, passview.Dark},
}

func (a *app) walletPreview(f *walletPreviewFlags, path string) error {
	if f.output == "" {
		f.output = defaultOutput(path, ".png")
	}
	format := strings.ToLower(filepath.Ext(f.output))
	shown, known := appearances[f.appearance]
	switch {
	case format != ".png" && format != ".html":
		return usage("--output %s says not what to make: end it in .png or .html", f.output)
	case !known:
		return usage("--appearance is %q; it has to be light, dark or both", f.appearance)
	case f.scale < 1 || f.scale > passview.MaxScale:
		return usage("--scale is %d; it has to be from 1 to %d", f.scale, passview.MaxScale)
	}
	o := passview.Options{Classic: f.classic}
	var err error
	if f.zone != "" {
		if o.Location, err = time.LoadLocation(f.zone); err != nil {
			return usage("--time-zone %q is no time zone: write it as Europe/Berlin", f.zone)
		}
	}
	s, err := a.readSource(path)
	if err != nil {
		return err
	}
	// What is wrong with other files keeps nobody from looking at the pass.
	var beside []string
	for _, p := range s.problems.Errors() {
		if p.File == "" || p.File == "pass.json" || s.files["pass.json"] == nil {
			a.printProblems(s.problems.Errors())
			return exit(ExitRejected)
		}
		beside = append(beside, p.String())
	}
	if o.Language, o.Strings, err = previewLanguage(s.files, f.language); err != nil {
		return err
	}
	pass, ok := s.files["pass.json"]
	if !ok && holdsPasses(s.files) {
		return usage("%s holds several passes: unpack it with aviso wallet open %[1]s -d FOLDER, and draw one of them", path)
	}
	if !ok {
		return usage("%s has no pass.json; only passes are drawn", path)
	}
	if repaired, changed := wallet.RepairJSON(pass); changed {
		pass = repaired
		beside = append(beside, "pass.json has a comma before } or ], which is no JSON")
	}
	view, err := passview.New(pass, s.files, o)
	if err != nil {
		return &exitError{ExitRejected, trimmed{err}}
	}
	var out bytes.Buffer
	if format == ".html" {
		err = view.HTML(&out)
	} else {
		err = view.PNG(&out, f.scale, shown...)
	}
	if err == nil {
		// The barcode is what lets its bearer in, so it is for this user.
		err = writeOutput(f.output, out.Bytes(), 0o600)
	}
	if err != nil {
		return err
	}
	return a.printPreview(f.output, append(beside, view.Notes()...), out.Len())
}

func (a *app) printPreview(output string, notes []string, size int) error {
	if a.json {
		return a.printJSON(struct {
			Output string   `json:"output"`
			Bytes  int      `json:"bytes"`
			Notes  []string `json:"notes"`
		}{output, size, append([]string{}, notes...)})
	}
	for _, n := range notes {
		a.sayf("%s%s", a.paint(a.stderr, dim, "note: "), n)
	}
	a.printf("%s\n", output)
	return nil
}

// previewLanguage finds the localisation to show, and its texts.
func previewLanguage(files wallet.Files, asked string) (language string, table map[string]string, err error) {
	var there []string
	for name := range files {
		if folder, _, ok := strings.Cut(name, "/"); ok && strings.HasSuffix(folder, ".lproj") {
			there = append(there, strings.TrimSuffix(folder, ".lproj"))
		}
	}
	slices.Sort(there)
	there = slices.Compact(there)
	switch {
	case asked == "" && !slices.Contains(there, "en"):
		return "", nil, nil
	case asked == "":
		asked = "en"
	case !slices.Contains(there, asked):
		if there == nil {
			return "", nil, usage("--language %s: the pass has no localisations", asked)
		}
		return "", nil, usage("--language %s: the pass has no such localisation; it has %s", asked, strings.Join(there, ", "))
	}
	if data, ok := files[asked+".lproj/pass.strings"]; ok {
		if table, err = wallet.ParseStrings(data); err != nil {
			return "", nil, &exitError{ExitRejected, err}
		}
	}
	return asked, table, nil
}
