package bundle

import (
	"errors"
	"strings"
	"testing"
)

const (
	sha1Empty = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	sha1A     = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
)

func TestCheckManifest(t *testing.T) {
	sha256 := strings.Repeat("0", 64)
	for manifest, want := range map[string]string{
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `"}`:                                "",
		`{"a":"` + strings.ToUpper(sha1A) + `","b":"` + sha1Empty + `"}`:               "",
		`{"\u0061":"` + sha1A + `","b":"` + sha1Empty + `"}`:                           "",
		`{"a":"` + sha1A + `"}`:                                                        "b: it is not in the manifest",
		`{"a":"` + sha1A + `","b":"` + sha1A + `"}`:                                    "b: its hash in the manifest is of other bytes",
		`{"a":"` + sha1A + `","b":"` + sha256 + `"}`:                                   "b: the manifest has its hash as SHA-256, and SHA-1 is needed",
		`{"a":"` + sha1A + `","b":{"hashType":"sha512","hashValue":"` + sha256 + `"}}`: "b: the manifest has no hash for it; write it as SHA-1",
		`{"a":"` + sha1A + `","b":7}`:                                                  "b: the manifest has no hash for it",
		`{"a":"` + sha1A + `","b":null}`:                                               "b: the manifest has no hash for it",
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `","c":"` + sha1A + `"}`:            "c: the manifest lists it, but it is not there",
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `","a":"` + sha1A + `"}`:            "manifest.json: a is listed twice",
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `","signature":"` + sha1A + `"}`:    "signature: the manifest lists it, and it cannot be in there",
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `"} x`:                              "something follows",
		`{"a":"` + sha1A + `","b":"` + sha1Empty + `"`:                                 "cut short",
		`{"a":"` + sha1A + `","b":`:                                                    "it is not JSON, at byte",
		`{"a":"` + sha1A + `",7:`:                                                      "it is not JSON, at byte",
		"\xef\xbb\xbf{}":                                                               "begins with a byte order mark",
		`["a"]`:                                                                        "it is not a JSON object",
		``:                                                                             "it is not JSON",
		`{}`:                                                                           "2 problems",
		`{` + strings.Repeat(`"":0,`, maxMembers) + `"":0}`:                            "more than 10000 members",
		`{"a":{"hashType":"sha512","hashValue":"` + strings.Repeat(sha256, 2) + `"},"b":0}`: "a: its hash in the manifest is of other bytes",
	} {
		p := &Package{Files: []File{{"a", []byte("a")}, {"b", nil}, {"manifest.json", []byte(manifest)}, {"signature", nil}}}
		_, err := p.CheckManifest(SHA1, SHA512Object)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", manifest, err, want)
		}
	}
	if _, err := (&Package{}).CheckManifest(SHA256); err == nil || !strings.Contains(err.Error(), "manifest.json: it is missing") {
		t.Error(err)
	}
}

func FuzzCheckManifest(f *testing.F) {
	f.Add([]byte(`{"a":"` + sha1A + `","b":{"hashType":"sha512","hashValue":"00"}}`))
	f.Add([]byte(`{"a":[1,{"b":2}],"a":null}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		p := &Package{Files: []File{{"a", []byte("a")}, {"manifest.json", manifest}}}
		digest, err := p.CheckManifest(SHA1, SHA512Object)
		if err == nil && (digest == SHA256 || !strings.Contains(strings.ToLower(string(manifest)), digest.sum([]byte("a")))) {
			t.Fatalf("%q has the hash of a?", manifest)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T", err)
			}
		}
	})
}
