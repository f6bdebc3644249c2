package passview

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// run is a stretch of text, with the address it leads to or none. The address has
// been through safeLink.
type run struct{ Text, Href string }

func plain(runs []run) string {
	var s strings.Builder
	for _, r := range runs {
		s.WriteString(r.Text)
	}
	return s.String()
}

// attributed reads an attributedValue: text with <a href>, the only markup there
// is. Every other element is left out and its text kept, as the text of scripts and
// styles is not.
func attributed(s string) (runs []run) {
	z := html.NewTokenizer(strings.NewReader(s))
	href, hidden := "", 0
	for {
		switch z.Next() {
		case html.ErrorToken: // the end, since a string has no other
			return runs
		case html.TextToken:
			if text := z.Token().Data; hidden == 0 && text != "" {
				runs = append(runs, run{text, href})
			}
		case html.StartTagToken:
			t := z.Token()
			switch t.Data {
			case "a":
				href = ""
				for _, a := range t.Attr {
					if a.Key == "href" {
						href = safeLink(a.Val)
					}
				}
			case "script", "style":
				hidden++
			}
		case html.EndTagToken:
			switch z.Token().Data {
			case "a":
				href = ""
			case "script", "style":
				hidden = max(0, hidden-1)
			}
		}
	}
}

// safeLink returns the address if it opens a page, a call or a mail, else "".
func safeLink(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || !slices.Contains([]string{"http", "https", "tel", "mailto"}, strings.ToLower(u.Scheme)) {
		return ""
	}
	return u.String()
}

// detectable is what the data detectors of a back field find, as far as it can be
// told by its form.
var detectable = regexp.MustCompile(`https?://[^\s<>"]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\+\d[\d ()./-]{6,}\d`)

var notDialled = regexp.MustCompile(`[^\d+]`)

// detect makes links of what data detectors find, if the field has them: absent
// means all of them, an empty list none.
func detect(s string, field object) (runs []run) {
	on := func(detector string) bool {
		return !field.has("dataDetectorTypes") || slices.Contains(field.texts("dataDetectorTypes"), detector)
	}
	for _, at := range detectable.FindAllStringIndex(s, -1) {
		found, scheme, detector := strings.TrimRight(s[at[0]:at[1]], ".,;:!?)"), "", "PKDataDetectorTypeLink"
		switch {
		case strings.HasPrefix(found, "+"):
			scheme, detector = "tel:", "PKDataDetectorTypePhoneNumber"
		case !strings.HasPrefix(found, "http"):
			scheme = "mailto:"
		}
		if !on(detector) {
			continue
		}
		address := scheme + found
		if scheme == "tel:" {
			address = scheme + notDialled.ReplaceAllString(found, "")
		}
		href := safeLink(address)
		if href == "" {
			continue
		}
		if done := len(plain(runs)); at[0] > done {
			runs = append(runs, run{s[done:at[0]], ""})
		}
		runs = append(runs, run{found, href})
	}
	if rest := s[len(plain(runs)):]; rest != "" {
		runs = append(runs, run{rest, ""})
	}
	return runs
}
