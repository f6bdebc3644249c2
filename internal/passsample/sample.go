// Package passsample makes pass folders to begin with, one for each design of
// Wallet, and certificates to sign them with until Apple's are there.
//
// The images are drawn by code, at all three scales and in the sizes that
// Apple's tools ask for, and are meant to be replaced. The certificates form a
// chain like Apple's (see [Certificates]), which no device trusts.
package passsample

import (
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed passes
var passes embed.FS

// Styles are the names of the samples: Apple's word for the style or design.
func Styles() []string { return slices.Sorted(maps.Keys(designs)) }

// Config says whose pass it is.
type Config struct {
	// PassTypeIdentifier and TeamIdentifier go into pass.json and have to be
	// those of the certificate that signs it.
	PassTypeIdentifier, TeamIdentifier string
	// SerialNumber is unique among the passes of the type.
	SerialNumber string
	// Now is the day from which the dates in the pass are counted.
	Now time.Time
}

// design is what a sample is made of beside its pass.json.
type design struct {
	colors palette
	images []string
	nfc    bool
}

var designs = map[string]design{
	"boardingPass":         {sea, []string{"icon", "logo", "footer"}, false},
	"coupon":               {sand, []string{"icon", "logo", "strip"}, false},
	"eventTicket":          {dusk, []string{"icon", "logo", "background", "thumbnail"}, false},
	"generic":              {forest, []string{"icon", "logo", "thumbnail"}, false},
	"posterEventTicket":    {dusk, []string{"icon", "logo", "artwork", "background", "thumbnail", "secondaryLogo"}, true},
	"posterGeneric":        {forest, []string{"icon", "logo", "artwork", "primaryLogo", "thumbnail"}, false},
	"semanticBoardingPass": {sea, []string{"icon", "logo", "primaryLogo"}, false},
	"storeCard":            {sand, []string{"icon", "logo", "strip"}, false},
}

// Files returns the files of a sample pass by their path in its folder.
func Files(style string, c Config) (map[string][]byte, error) {
	d, ok := designs[style]
	if !ok {
		return nil, fmt.Errorf("there is no style %q; there are %s", style, strings.Join(Styles(), ", "))
	}
	files := map[string][]byte{}
	for _, name := range d.images {
		for scale := 1; scale <= 3; scale++ {
			data, err := drawn(name, d.colors, scale)
			if err != nil {
				return nil, err
			}
			file := name + ".png"
			if scale > 1 {
				file = fmt.Sprintf("%s@%dx.png", name, scale)
			}
			files[file] = data
		}
	}
	for _, language := range []string{"en", "it"} {
		files[language+".lproj/pass.strings"] = []byte(stringsOf(language))
	}
	content, err := passes.ReadFile("passes/" + style + ".json")
	if err != nil {
		return nil, err
	}
	in := map[string]string{
		"PassTypeIdentifier": c.PassTypeIdentifier, "TeamIdentifier": c.TeamIdentifier, "SerialNumber": c.SerialNumber,
		"Background": d.colors.background.css(), "Foreground": d.colors.foreground.css(), "Label": d.colors.label.css(),
	}
	if d.nfc {
		if in["NFCKey"], err = nfcKey(); err != nil {
			return nil, err
		}
	}
	files["pass.json"], err = expand(string(content), in, c.Now)
	return files, err
}

// placeholder is what stands for a text, or for so many days from now at a time of
// day: {{SerialNumber}}, {{at 14 13:40}}.
var placeholder = regexp.MustCompile(`\{\{(?:at (-?\d+) (\d\d:\d\d)|(\w+))\}\}`)

// expand fills in a sample's pass.json. The times are in the zone of now.
func expand(content string, in map[string]string, now time.Time) ([]byte, error) {
	var problem error
	out := placeholder.ReplaceAllStringFunc(content, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		text, known := in[parts[3]]
		if parts[1] != "" {
			days, err := strconv.Atoi(parts[1])
			day := now.AddDate(0, 0, days)
			t, err2 := time.ParseInLocation("2006-01-02 15:04", day.Format(time.DateOnly)+" "+parts[2], now.Location())
			problem = errors.Join(problem, err, err2)
			text, known = t.Format(time.RFC3339), true
		}
		if !known {
			problem = errors.Join(problem, fmt.Errorf("the sample asks for %s", found))
		}
		quoted, err := json.Marshal(text)
		problem = errors.Join(problem, err)
		return string(quoted)
	})
	if problem == nil && !json.Valid([]byte(out)) {
		problem = errors.New("the sample's pass.json is not JSON")
	}
	return []byte(out), problem
}

// NewSerialNumber makes a serial number that nobody else has.
func NewSerialNumber() string { return rand.Text()[:12] }

// italian is the texts of the samples in another language: one that needs no
// letters beyond ASCII, since for those Apple asks for UTF-16, which is no fun to
// edit.
var italian = map[string]string{
	"DATE": "DATA", "GATE": "USCITA", "FLIGHT": "VOLO", "SEAT": "POSTO", "PASSENGER": "PASSEGGERO", "BOARDING": "IMBARCO",
	"CLASS": "CLASSE", "EXPIRES": "SCADE", "EVENT": "EVENTO", "VENUE": "LUOGO", "DOORS": "INGRESSO", "ROW": "FILA",
	"SECTION": "SETTORE", "MEMBER": "SOCIO", "MEMBER SINCE": "SOCIO DAL", "LEVEL": "LIVELLO", "BALANCE": "SALDO",
	"POINTS": "PUNTI", "CODE": "CODICE", "ON EVERYTHING": "SU TUTTO", "Terms": "Condizioni", "Contact": "Contatti",
}

// stringsOf writes a pass.strings: the keys are the English texts.
func stringsOf(language string) string {
	var s strings.Builder
	s.WriteString("/* Texts of pass.json in this language. Both languages have the same keys. */\n")
	for _, key := range slices.Sorted(maps.Keys(italian)) {
		value := key
		if language == "it" {
			value = italian[key]
		}
		fmt.Fprintf(&s, "%q = %q;\n", key, value)
	}
	return s.String()
}

// nfcKey makes a public key for the NFC entry that the poster design asks for.
// Its private key is thrown away: a reader would need a key of its own.
func nfcKey() (string, error) {
	der, err := throwawayPublicKey()
	return base64.StdEncoding.EncodeToString(der), err
}
