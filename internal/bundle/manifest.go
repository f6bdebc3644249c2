package bundle

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// Digest is how a manifest names the hash of a file.
type Digest int

// The forms of a manifest. Which one is right depends on the kind of package
// and is no matter of security here: the signature covers the manifest.
const (
	// SHA1 is for Wallet passes and for Safari push packages, version 1: 40
	// hexadecimal digits.
	SHA1 Digest = iota
	// SHA256 is for Wallet orders: 64 hexadecimal digits.
	SHA256
	// SHA512Object is for Safari push packages, version 2: an object with
	// hashType "sha512" and hashValue.
	SHA512Object
)

func (d Digest) String() string {
	return [...]string{"SHA-1", "SHA-256", "SHA-512 in objects"}[d]
}

// sum returns the hash in hexadecimal digits.
func (d Digest) sum(data []byte) string {
	switch d {
	case SHA1:
		sum := sha1.Sum(data)
		return hex.EncodeToString(sum[:])
	case SHA256:
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	default:
		sum := sha512.Sum512(data)
		return hex.EncodeToString(sum[:])
	}
}

// appendEntry appends a member of the manifest's object.
func (d Digest) appendEntry(to []byte, name string, data []byte) []byte {
	key, _ := json.Marshal(name) // a string always can be
	to = append(append(to, key...), ':')
	if d == SHA512Object {
		to = append(to, `{"hashType":"sha512","hashValue":"`...)
		return append(append(to, d.sum(data)...), `"}`...)
	}
	return append(append(append(to, '"'), d.sum(data)...), '"')
}

// CheckManifest compares manifest.json with the files: each of them, except the
// manifest and the signature, must be listed with its hash, and nothing else.
// It accepts the forms that are given and returns the one that it found, which
// is the first of those given if it could not tell. The error is *[Error].
func (p *Package) CheckManifest(accepted ...Digest) (Digest, error) {
	var found problems
	digest := accepted[0]
	data, ok := p.Get(ManifestName)
	if !ok {
		found.add(ManifestName, "it is missing", "a package has it at its root")
		return digest, found.err()
	}
	listed, err := ParseObject(data)
	if err != nil {
		found.add(ManifestName, err.Error(), "it is one JSON object with a hash for each file")
		return digest, found.err()
	}
	for _, entry := range listed {
		if form, ok := formOf(entry.Value); ok && slices.Contains(accepted, form) {
			digest = form
			break
		}
	}
	seen := map[string]bool{}
	for _, entry := range listed {
		if seen[entry.Name] {
			found.add(ManifestName, shown(entry.Name)+" is listed twice", "")
		}
		seen[entry.Name] = true
		file, ok := p.Get(entry.Name)
		switch form, known := formOf(entry.Value); {
		case entry.Name == ManifestName || entry.Name == SignatureName:
			found.add(entry.Name, "the manifest lists it, and it cannot be in there", "list all files but manifest.json and signature")
		case !ok:
			found.add(entry.Name, "the manifest lists it, but it is not there", "")
		case !known:
			found.add(entry.Name, "the manifest has no hash for it", "write it as "+digest.String())
		case form != digest:
			found.add(entry.Name, "the manifest has its hash as "+form.String()+", and "+digest.String()+" is needed", "")
		case digest.sum(file) != strings.ToLower(hashOf(entry.Value)):
			found.add(entry.Name, "its hash in the manifest is of other bytes", "make manifest and signature after the last change to a file")
		}
	}
	for _, file := range p.Files {
		if !seen[file.Name] && file.Name != ManifestName && file.Name != SignatureName {
			found.add(file.Name, "it is not in the manifest", "list every file, or leave it out of the package")
		}
	}
	return digest, found.err()
}

// formOf recognises the form of one value by its type and length.
func formOf(value json.RawMessage) (Digest, bool) {
	hash := hashOf(value)
	if _, err := hex.DecodeString(hash); err != nil {
		return 0, false
	}
	object := value[0] == '{'
	switch {
	case !object && len(hash) == 2*sha1.Size:
		return SHA1, true
	case !object && len(hash) == 2*sha256.Size:
		return SHA256, true
	case object && len(hash) == 2*sha512.Size:
		return SHA512Object, true
	}
	return 0, false
}

// hashOf returns the hexadecimal digits of either form, or "".
func hashOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var object map[string]string
	if json.Unmarshal(value, &object) == nil && object["hashType"] == "sha512" {
		return object["hashValue"]
	}
	return ""
}
