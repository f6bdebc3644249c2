package wallet

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"aviso.example/internal/bundle"
	"aviso.example/internal/suggest"
)

// Check checks a pass or an order with all its files, and returns every problem,
// errors first: pass.json or order.json, images, translations, personalization,
// and names. An order is told by its order.json.
func (f Files) Check() Problems {
	c := &checker{}
	c.names(f)
	if f.isOrder() {
		c.orderFiles(f)
	} else {
		c.passFiles(f)
	}
	return c.problems.sort()
}

// names checks what the files are called.
func (c *checker) names(f Files) {
	problems, _ := bundleProblems(bundle.CheckNames(f.names()...))
	c.problems = append(c.problems, problems...)
	for _, name := range []string{fileManifest, fileSignature} {
		if _, ok := f[name]; ok {
			c.problems = append(c.problems, Problem{Error, name, "", "is made on signing", "leave it out"})
		}
	}
}

func (c *checker) passFiles(f Files) {
	data, ok := f[filePass]
	pass := new(Pass)
	if !ok && f.isBundle() {
		c.problems = append(c.problems, bundleOfPasses)
		return
	} else if !ok {
		c.problems = append(c.problems, Problem{Error, filePass, "", "is missing", "a pass has it at the top of its folder"})
	} else if d, err := decode(data, pass); err != nil {
		bad := notJSON(err)
		bad.File = filePass
		c.problems = append(c.problems, bad)
		ok = false
	} else {
		c.problems = append(c.problems, d.twice...)
		c.tables = f.tables("pass.strings")
		c.pass(pass)
		c.contrast(pass, f.has("background") || f.has("strip") || f.has("artwork"))
	}
	if !ok {
		pass = nil
	}
	c.sharedFiles(f, pass)
	if _, there := f[filePersonalization]; there {
		c.personalization(f, pass)
	}
}

// sharedFiles checks everything but pass.json. Without a pass it leaves out what
// depends on one.
func (c *checker) sharedFiles(f Files, pass *Pass) {
	styles := map[string]bool{}
	if pass != nil {
		for name, style := range pass.styles() {
			if *style != nil {
				styles[name] = true
			}
		}
	}
	for _, name := range f.names() {
		language, rest, local := localized(name)
		switch {
		case isImage(name):
			c.image(name, f[name], styles)
		case local && rest == "pass.strings", name == filePass, name == filePersonalization, name == fileTooling:
		case local && language == "":
			c.inFile(name, "name the folder like fr.lproj", "is in a folder without a language")
		case strings.HasSuffix(name, ".strings"):
			c.inFile(name, "name it pass.strings, in a folder such as fr.lproj", "is not read by Wallet")
		default:
			c.inFile(name, otherName(name), "is not a file that Wallet reads")
		}
	}
	c.icons(f)
	c.translations(f, "pass.strings")
	c.localImages(f)
	if styles[StyleEventTicket] && f.has("strip") && (f.has("background") || f.has("thumbnail")) {
		c.inFile(f.first("strip"), "keep strip, or background and thumbnail", "stands beside background or thumbnail, which are not drawn with it")
	}
	if pass != nil && slices.Contains(pass.PreferredStyleSchemes, SchemePosterEventTicket) && pass.EventTicket != nil && !f.has("background") && !f.has("artwork") {
		c.inFile("artwork.png", "add artwork, or background", "is missing; without it %s is not used", SchemePosterEventTicket)
	}
}

func (c *checker) inFile(name, fix, format string, args ...any) {
	c.problems = append(c.problems, Problem{Warning, name, "", fmt.Sprintf(format, args...), fix})
}

// otherName guesses what a file should be called.
func otherName(name string) string {
	if near := suggest.Nearest(name, []string{filePass, filePersonalization}, 1); len(near) > 0 {
		return "did you mean " + near[0] + "?"
	}
	return "leave it out"
}

// has reports whether there is an image in any scale and language.
func (f Files) has(base string) bool { return f.first(base) != "" }

func (f Files) first(base string) string {
	for _, name := range f.names() {
		if folder, b, _, _ := splitImage(name); isPlace(folder) && b == base && isImage(name) {
			return name
		}
	}
	return ""
}

func (c *checker) icons(f Files) {
	icon := map[int]bool{}
	for _, name := range f.names() {
		if folder, base, scale, ext := splitImage(name); isPlace(folder) && base == "icon" && (ext == ".png" || ext == ".pdf" && isPDF(f[name])) {
			icon[scale] = true
		}
	}
	if !icon[1] && !icon[2] && !icon[3] {
		c.problems = append(c.problems, Problem{Error, "icon.png", "", "is missing", "add icon.png (38×38 pixels), icon@2x.png and icon@3x.png; no pass is accepted without"})
		return
	}
	for _, scale := range []int{2, 3} {
		if !icon[scale] && !hasPDF(f, "icon") {
			name := fmt.Sprintf("icon@%dx.png", scale)
			c.inFile(name, "add it", "is missing; devices of today draw the icon at that scale")
		}
	}
}

func hasPDF(f Files, base string) bool {
	for _, name := range f.names() {
		if _, b, _, ext := splitImage(name); b == base && ext == ".pdf" && isPDF(f[name]) {
			return true
		}
	}
	return false
}

// translations checks the .strings files, and that all languages have the same
// keys.
func (c *checker) translations(f Files, file string) {
	tables := f.tables(file)
	all := map[string]string{} // key to a language that has it
	var languages []string
	for _, name := range f.names() {
		language, rest, ok := localized(name)
		if !ok || rest != file {
			continue
		}
		_, problems := parseStrings(f[name])
		for _, p := range problems {
			p.File = name
			c.problems = append(c.problems, p)
		}
		languages = append(languages, language)
		for key := range tables[language] {
			if all[key] == "" {
				all[key] = language
			}
		}
	}
	for _, language := range languages {
		missing := 0
		example := ""
		for key, other := range all {
			if _, ok := tables[language][key]; !ok {
				missing++
				example = other
			}
		}
		if missing > 0 {
			if missing > 1 {
				example = "other languages"
			}
			what, has := "1 key", "has"
			if missing > 1 {
				what = fmt.Sprintf("%d keys", missing)
			}
			if example == "other languages" {
				has = "have"
			}
			c.inFile(language+".lproj/"+file, "give every language the same keys", "has no translation of %s that %s %s", what, example, has)
		}
	}
}

// tables reads the translations, by language. What is wrong with them is told elsewhere.
func (f Files) tables(file string) map[string]StringsFile {
	tables := map[string]StringsFile{}
	for _, name := range f.names() {
		if language, rest, ok := localized(name); ok && rest == file {
			tables[language], _ = parseStrings(f[name])
		}
	}
	return tables
}

// localImages finds images that are never shown, or not everywhere.
func (c *checker) localImages(f Files) {
	scales := map[string][]string{} // base to the scales of each folder
	folders := map[string]map[string][]int{}
	for _, name := range f.names() {
		language, rest, ok := localized(name)
		if !ok || !isImage(rest) {
			continue
		}
		if _, there := f[rest]; there {
			c.inFile(name, "remove "+rest+" from the top", "is never shown: %s at the top overrides it", rest)
		}
		_, base, scale, _ := splitImage(rest)
		if folders[base] == nil {
			folders[base] = map[string][]int{}
			scales[base] = nil
		}
		folders[base][language] = append(folders[base][language], scale)
	}
	for _, base := range sortedKeysOf(folders) {
		var union []int
		for _, have := range folders[base] {
			for _, scale := range have {
				if !slices.Contains(union, scale) {
					union = append(union, scale)
				}
			}
		}
		for _, language := range sortedKeysOf(folders[base]) {
			if len(folders[base][language]) < len(union) {
				c.inFile(language+".lproj/"+base+".png", "add the missing scales", "has fewer scales than in other languages")
			}
		}
	}
}

// personalization checks the file that signs people up for a reward card.
func (c *checker) personalization(f Files, pass *Pass) {
	c.file = filePersonalization
	defer func() { c.file = "" }()
	p := new(Personalization)
	d, err := decode(f[filePersonalization], p)
	if err != nil {
		bad := notJSON(err)
		bad.File = c.file
		c.problems = append(c.problems, bad)
		return
	}
	for _, twice := range d.twice {
		twice.File = c.file
		c.problems = append(c.problems, twice)
	}
	c.walk(reflect.ValueOf(p).Elem(), nil)
	if p.Description == "" {
		c.missing(nil, p.Extra, "description", "write what signing up is for")
	}
	const some = "write at least one, such as PKPassPersonalizationFieldName"
	if p.RequiredPersonalizationFields == nil {
		c.missing(nil, p.Extra, "requiredPersonalizationFields", some)
	} else if len(p.RequiredPersonalizationFields) == 0 {
		c.error(nil, "requiredPersonalizationFields", some, "is empty")
	}
	if pass != nil {
		if pass.NFC == nil {
			c.error(nil, "", "add nfc to pass.json, or leave this file out", "needs a pass with nfc")
		}
		if pass.WebServiceURL == "" {
			c.error(nil, "", "add webServiceURL to pass.json, or leave this file out", "needs a pass with a web service")
		}
	}
	if !f.has("personalizationLogo") {
		c.warn(nil, "", "add personalizationLogo.png (150×40 pixels), @2x and @3x", "needs the image personalizationLogo")
	}
}

func sortedKeysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
