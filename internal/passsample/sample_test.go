package passsample

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"
)

var config = Config{
	PassTypeIdentifier: `pass.com.example."quoted"`, TeamIdentifier: "A1B2C3D4E5", SerialNumber: "SN-1",
	Now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("", 3600)),
}

// Every sample has what a device needs, in the sizes that Apple's tools ask for.
func TestFiles(t *testing.T) {
	for _, style := range Styles() {
		files, err := Files(style, config)
		if err != nil {
			t.Fatal(err)
		}
		var pass map[string]any
		if err := json.Unmarshal(files["pass.json"], &pass); err != nil {
			t.Fatalf("%s: %v", style, err)
		}
		for key, want := range map[string]any{
			"formatVersion": 1.0, "passTypeIdentifier": config.PassTypeIdentifier, "teamIdentifier": config.TeamIdentifier, "serialNumber": "SN-1",
		} {
			if pass[key] != want {
				t.Errorf("%s: %s is %v, want %v", style, key, pass[key], want)
			}
		}
		for _, name := range append(slices.Clone(designs[style].images), "icon") {
			for scale := 1; scale <= 3; scale++ {
				file := fmt.Sprintf("%s@%dx.png", name, scale)
				if scale == 1 {
					file = name + ".png"
				}
				c, err := png.DecodeConfig(bytes.NewReader(files[file]))
				if err != nil || c.Width != sizes[name].X*scale || c.Height != sizes[name].Y*scale {
					t.Errorf("%s: %s is %d × %d, %v", style, file, c.Width, c.Height, err)
				}
			}
		}
		total := 0
		for _, data := range files {
			total += len(data)
		}
		if total > 300<<10 {
			t.Errorf("%s has %d bytes", style, total)
		}
	}
}

// The languages translate the same texts, and only texts that the samples have.
func TestStrings(t *testing.T) {
	keys := func(language string) (list []string) {
		for line := range strings.Lines(stringsOf(language)) {
			if key, value, ok := strings.Cut(line, " = "); ok && strings.HasSuffix(value, ";\n") {
				list = append(list, key)
			}
		}
		return list
	}
	if en, it := keys("en"), keys("it"); !slices.Equal(en, it) || len(en) != len(italian) {
		t.Errorf("en has %v\nit has %v", en, it)
	}
	if s := stringsOf("it"); strings.ContainsFunc(s, func(r rune) bool { return r > 126 }) {
		t.Error("there are letters for which Apple asks for UTF-16")
	}
	var all strings.Builder
	for style := range designs {
		data, err := passes.ReadFile("passes/" + style + ".json")
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	for key := range italian {
		if !strings.Contains(all.String(), fmt.Sprintf("%q", key)) {
			t.Errorf("no sample has %q", key)
		}
	}
}

// The same configuration makes the same files.
func TestReproducible(t *testing.T) {
	a, err := Files("semanticBoardingPass", config)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Files("semanticBoardingPass", config)
	if err != nil {
		t.Fatal(err)
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestUnknownStyle(t *testing.T) {
	if _, err := Files("ticket", config); err == nil || !strings.Contains(err.Error(), "boardingPass, coupon, eventTicket") {
		t.Errorf("%v", err)
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	if a, b := NewSerialNumber(), NewSerialNumber(); a == b || len(a) != 12 {
		t.Errorf("%s, %s", a, b)
	}
}

// The chain verifies, and carries the marks by which Wallet knows a pass type
// certificate.
func TestCertificates(t *testing.T) {
	now := time.Now()
	c, err := Certificates("pass.com.example.sample", "A1B2C3D4E5", false, now)
	if err != nil {
		t.Fatal(err)
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.Root)
	middle.AddCert(c.Intermediate)
	if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: now.AddDate(0, 6, 0), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(c.Leaf.AuthorityKeyId, c.Intermediate.SubjectKeyId) || len(c.Leaf.AuthorityKeyId) == 0 {
		t.Error("the leaf does not name its issuer's key")
	}
	uid := ""
	for _, n := range c.Leaf.Subject.Names {
		if n.Type.Equal(oidUID) {
			uid, _ = n.Value.(string)
		}
	}
	if uid != "pass.com.example.sample" {
		t.Errorf("UID is %q", uid)
	}
	if got := c.Leaf.Subject.OrganizationalUnit; len(got) != 1 || got[0] != "A1B2C3D4E5" {
		t.Errorf("OU is %v", got)
	}
	leaf, intermediate, root, err := c.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"leaf": leaf, "intermediate": intermediate, "root": root} {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" || (len(rest) > 0) != (name == "leaf") {
			t.Errorf("%s: %+v", name, block)
		}
	}
}

// A certificate for orders has none of the marks of one for passes.
func TestMarks(t *testing.T) {
	for _, order := range []bool{false, true} {
		leaf, err := leafTemplate("pass.com.example.sample", "A1B2C3D4E5", order)
		if err != nil {
			t.Fatal(err)
		}
		signs := slices.ContainsFunc(leaf.UnknownExtKeyUsage, oidPassSigning.Equal)
		marked := slices.ContainsFunc(leaf.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(oidPassType) })
		if signs == order || marked == order {
			t.Errorf("order %v: pass signing is %v, pass type %v", order, signs, marked)
		}
	}
}
