package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

// zipped makes a zip with archive/zip: a stranger's. Names that end with / are
// folders.
func zipped(t testing.TB, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		w := must(z.Create(name)) // deflated, with data descriptors
		if !strings.HasSuffix(name, "/") {
			must(w.Write([]byte("content of " + name)))
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(zipped []byte, limits Limits) (*Package, error) {
	return ReadZip(bytes.NewReader(zipped), int64(len(zipped)), limits)
}

func TestReadStrangersZip(t *testing.T) {
	p, err := read(zipped(t, "pass.json", "en.lproj/", "en.lproj/pass.strings", "ü.png"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range p.Files {
		names = append(names, f.Name)
		if string(f.Data) != "content of "+f.Name {
			t.Errorf("%s: %q", f.Name, f.Data)
		}
	}
	if !slices.Equal(names, []string{"en.lproj/pass.strings", "pass.json", "ü.png"}) {
		t.Error(names)
	}
	if _, ok := p.Get("pass"); ok {
		t.Error("there is no such file")
	}
	// Info-ZIP, writing into a pipe, says the size before the data and the rest after.
	piped := zipped(t, "a")
	le := binary.LittleEndian
	for size, want := range map[int]string{len("content of a"): "", 5: "contradict"} {
		le.PutUint32(piped[22:], uint32(size))
		if _, err := read(piped, Limits{}); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	// A comment at the end is harmless.
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.SetComment("made by hand")
	must(z.Create("a"))
	z.Close()
	if p, err := read(out.Bytes(), Limits{}); err != nil || len(p.Files) != 1 {
		t.Error(err)
	}
}

// raw is a zip of one stored file and its offsets: the local header, the
// directory and the end record.
func raw(name, content string) (z []byte, directory, end int) {
	var out bytes.Buffer
	if err := Zip(&out, time.Time{}, File{name, []byte(content)}); err != nil {
		panic(err)
	}
	return out.Bytes(), bytes.Index(out.Bytes(), []byte(directorySignature)), bytes.Index(out.Bytes(), []byte(endSignature))
}

// TestZipRefused changes one thing each in a zip that is in order.
func TestZipRefused(t *testing.T) {
	le := binary.LittleEndian
	both := func(local, directory int, value uint16) func([]byte, int, int) []byte {
		return func(z []byte, d, _ int) []byte {
			le.PutUint16(z[local:], value)
			le.PutUint16(z[d+directory:], value)
			return z
		}
	}
	at := func(change func(z []byte, d, e int)) func([]byte, int, int) []byte {
		return func(z []byte, d, e int) []byte {
			change(z, d, e)
			return z
		}
	}
	for name, c := range map[string]struct {
		change func(z []byte, directory, end int) []byte
		want   string
	}{
		"encrypted":            {both(6, 8, flagEncrypted), "encrypted"},
		"strongly encrypted":   {both(6, 8, flagStrong|flagEncrypted), "encrypted"},
		"method":               {both(8, 10, 12), "method 12"},
		"symbolic link":        {at(func(z []byte, d, _ int) { z[d+5] = 3; le.PutUint32(z[d+38:], 0xA1FF<<16) }), "symbolic link"},
		"device":               {at(func(z []byte, d, _ int) { z[d+5] = 3; le.PutUint32(z[d+38:], 0x21FF<<16) }), "symbolic link"},
		"checksum":             {at(func(z []byte, d, _ int) { z[14] ^= 1; z[d+16] ^= 1 }), "checksum"},
		"content":              {at(func(z []byte, _, _ int) { z[localSize+5] ^= 1 }), "checksum"},
		"checksums differ":     {at(func(z []byte, d, _ int) { z[d+16] ^= 1 }), "contradict"},
		"methods differ":       {at(func(z []byte, d, _ int) { z[d+10] = methodDeflate }), "contradict"},
		"encryption differs":   {at(func(z []byte, _, _ int) { z[6] |= flagEncrypted }), "contradict"},
		"zip64 before":         {at(func(z []byte, _, _ int) { le.PutUint32(z[18:], 0xFFFFFFFF); le.PutUint32(z[22:], 0xFFFFFFFF) }), "zip64"},
		"two names":            {at(func(z []byte, _, _ int) { z[localSize] = 'X' }), "two names"},
		"sizes":                {at(func(z []byte, d, _ int) { z[22]++; z[d+24]++ }), "stored in 7 bytes and said to have 8"},
		"too long":             {at(func(z []byte, d, _ int) { z[18] = 200; z[d+20] = 200 }), "outside the zip"},
		"huge":                 {at(func(z []byte, d, _ int) { le.PutUint32(z[18:], 0xFFFFFFF0); le.PutUint32(z[d+20:], 0xFFFFFFF0) }), "outside the zip"},
		"zip64 entry":          {at(func(z []byte, d, _ int) { le.PutUint32(z[d+24:], 0xFFFFFFFF) }), "zip64"},
		"zip64 end":            {at(func(z []byte, _, e int) { le.PutUint32(z[e+16:], 0xFFFFFFFF) }), "zip64"},
		"parts":                {at(func(z []byte, _, e int) { z[e+4] = 1 }), "several parts"},
		"local header missing": {at(func(z []byte, _, _ int) { z[0] = 'Q' }), "damaged"},
		"directory header":     {at(func(z []byte, d, _ int) { z[d] = 'Q' }), "damaged"},
		"name beyond":          {at(func(z []byte, d, _ int) { z[d+29] = 0xFF }), "damaged"},
		"offset":               {at(func(z []byte, d, _ int) { z[d+42] = 1 }), "damaged"},
		"count too low":        {at(func(z []byte, _, e int) { z[e+8], z[e+10] = 0, 0 }), "more entries"},
		"count too high":       {at(func(z []byte, _, e int) { z[e+8], z[e+10] = 2, 2 }), "damaged"},
		"something before":     {func(z []byte, _, _ int) []byte { return append([]byte("#!/bin/sh\n"), z...) }, "put before"},
		"something after":      {func(z []byte, _, _ int) []byte { return append(z, 0) }, "something follows"},
		"no end":               {func(z []byte, _, e int) []byte { return z[:e] }, "cut short"},
		"folder with content":  {func(z []byte, d, _ int) []byte { z[localSize+4], z[d+directorySize+4] = '/', '/'; return z }, "folder with content"},
		"empty":                {func([]byte, int, int) []byte { return nil }, "not a zip"},
		"text":                 {func([]byte, int, int) []byte { return []byte(strings.Repeat("{}", 40)) }, "not a zip"},
		"descriptor missing":   {both(6, 8, flagDescriptor), "contradict"},
		"a hole": {func(z []byte, d, e int) []byte {
			le.PutUint32(z[e+16:], uint32(d+3))
			return slices.Insert(z, d, 1, 2, 3)
		}, "3 bytes of the zip after the last file"},
		"a second name": {func(z []byte, d, e int) []byte {
			z[d+30] = 4 + 5 + 5
			le.PutUint32(z[e+12:], le.Uint32(z[e+12:])+14)
			return slices.Insert(z, d+directorySize+5, append([]byte{0x75, 0x70, 10, 0, 1, 0, 0, 0, 0}, "other"...)...)
		}, "second name, other"},
	} {
		z, directory, end := raw("plain", "content")
		if _, err := read(z, Limits{}); err != nil {
			t.Fatal(err)
		}
		p, err := read(c.change(z, directory, end), Limits{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, ok := errors.AsType[*Error](err); !ok || p != nil && len(p.Files) > 0 && name != "a hole" {
			t.Errorf("%s: %T, %v", name, err, p)
		}
	}
}

func TestZipNamesRefused(t *testing.T) {
	p, err := read(zipped(t, "ok.png", "../up", "/root", `win\dows`, ".DS_Store", "a/", "a/../../b", "Ok.png", "file", "file/x", "twice", "twice", "../dir/", strings.Repeat("n/", 200)), Limits{})
	if err == nil {
		t.Fatal("all taken")
	}
	for _, want := range []string{"../up: ", "/root: ", `"win\\dows": `, ".DS_Store: ", "a/../../b: ", "Ok.png: it differs from ok.png", "file: it is a file and a folder", "twice: it is there twice", "../dir/: ", "399 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %q\n%v", want, err)
		}
	}
	if _, ok := p.Get("ok.png"); !ok {
		t.Error("the good file is missing")
	}
	if _, ok := p.Get("../up"); ok {
		t.Error("the bad file is there")
	}
	_, err = read(zipped(t, "My.pass/pass.json", "My.pass/icon.png", "__MACOSX/._My.pass"), Limits{})
	if err == nil || !strings.Contains(err.Error(), "My.pass/: everything is in this folder") {
		t.Error(err)
	}
	if _, err = read(zipped(t, "en.lproj/pass.strings"), Limits{}); err != nil {
		t.Error(err)
	}
}

// TestBombs are archives that are small and would unpack to much, or to the same
// many times.
func TestBombs(t *testing.T) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	must(must(z.Create("zeros")).Write(make([]byte, 4<<20)))
	z.Close()
	bomb := slices.Clone(out.Bytes())
	for name, c := range map[string]struct {
		limits Limits
		want   string
	}{
		"ratio": {Limits{}, "times its compressed size, and 200 are possible"},
		"size":  {Limits{FileBytes: 1 << 20, Ratio: 2000}, "4194304 bytes, and 1048576 are possible"},
		"total": {Limits{TotalBytes: 1 << 20, Ratio: 2000}, "larger than 1048576 bytes together"},
		"zip":   {Limits{TotalBytes: 100}, "the zip has"},
		"none":  {Limits{Ratio: 2000}, ""},
	} {
		_, err := read(bomb, c.limits)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The header says that there is less, in the directory and after the data.
	lying := slices.Clone(bomb)
	directory := bytes.LastIndex(lying, []byte(directorySignature))
	descriptor := bytes.LastIndex(lying, []byte(descriptorSignature))
	binary.LittleEndian.PutUint32(lying[directory+24:], 1000)
	binary.LittleEndian.PutUint32(lying[descriptor+12:], 1000)
	if _, err := read(lying, Limits{}); err == nil || !strings.Contains(err.Error(), "more than the 1000 bytes") {
		t.Error(err)
	}
	binary.LittleEndian.PutUint32(lying[directory+24:], 4<<20+1)
	binary.LittleEndian.PutUint32(lying[descriptor+12:], 4<<20+1)
	if _, err := read(lying, Limits{Ratio: 2000}); err == nil || !strings.Contains(err.Error(), "has 4194304 bytes, and its header says 4194305") {
		t.Error(err)
	}
	// Fifield's bomb in its simplest form: many entries of the directory share one
	// file.
	one, d, e := raw("a", "content")
	header := slices.Clone(one[d:e])
	shared := slices.Concat(one[:d], bytes.Repeat(header, 100), one[e:])
	end := shared[len(shared)-endSize:]
	end[8], end[10] = 100, 100
	binary.LittleEndian.PutUint32(end[12:], uint32(100*len(header)))
	if _, err := read(shared, Limits{}); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Error(err)
	}
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprint(i))
	}
	if _, err := read(zipped(t, many...), Limits{}); err == nil || !strings.Contains(err.Error(), "1001 files, and 1000 are possible") {
		t.Error(err)
	}
	// Problems are bounded too.
	for i := range many {
		many[i] = "../" + many[i]
	}
	_, err := read(zipped(t, many[:900]...), Limits{})
	if problems, ok := errors.AsType[*Error](err); !ok || len(problems.Problems) != maxProblems+1 {
		t.Errorf("%v", err)
	}
}

// TestDescriptors: the signature of what follows the data is optional.
func TestDescriptors(t *testing.T) {
	z := zipped(t, "a")
	at := bytes.Index(z, []byte(descriptorSignature))
	end := len(z) - endSize
	short := slices.Delete(slices.Clone(z), at, at+4)
	binary.LittleEndian.PutUint32(short[end-4+16:], binary.LittleEndian.Uint32(z[end+16:])-4)
	if p, err := read(short, Limits{}); err != nil || len(p.Files) != 1 {
		t.Error(err)
	}
	z[at+4] ^= 1
	if _, err := read(z, Limits{}); err == nil || !strings.Contains(err.Error(), "contradict") {
		t.Error(err)
	}
}

func TestTruncatedZip(t *testing.T) {
	z := zipped(t, "pass.json", "en.lproj/pass.strings")
	for n := range z {
		if p, err := read(z[:n], Limits{}); err == nil || p != nil {
			t.Fatalf("%d of %d bytes: %v", n, len(z), err)
		}
	}
}

// TestEveryByteOfAZip: a changed bit is noticed, or changes nothing that is read.
func TestEveryByteOfAZip(t *testing.T) {
	z := packed(t, Config{}, strfile)
	want := must(read(z, Limits{}))
	for i := range 8 * len(z) {
		changed := slices.Clone(z)
		changed[i/8] ^= 1 << (i % 8)
		p, err := read(changed, Limits{})
		if err != nil {
			continue
		}
		for _, f := range want.Files {
			if got, ok := p.Get(f.Name); !ok || !bytes.Equal(got, f.Data) {
				t.Fatalf("bit %d of byte %d changed %s unseen", i%8, i/8, f.Name)
			}
		}
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrClosed }

func TestReadFails(t *testing.T) {
	if _, err := ReadZip(broken{}, 1000, Limits{}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}

// FuzzReadZip holds our reader against archive/zip: what we take, it reads the
// same way.
func FuzzReadZip(f *testing.F) {
	f.Add(zipped(f, "pass.json", "en.lproj/", "en.lproj/pass.strings"))
	f.Add(packed(f, Config{Digest: SHA512Object}, icon, strfile))
	one, _, _ := raw("plain", "content")
	f.Add(one)
	f.Add(zipped(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := read(in, Limits{TotalBytes: 1 << 20, FileBytes: 1 << 18, Files: 50})
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		z, err := zip.NewReader(bytes.NewReader(in), int64(len(in)))
		if err != nil {
			t.Fatalf("archive/zip: %v", err)
		}
		files := 0
		for _, theirs := range z.File {
			if strings.HasSuffix(theirs.Name, "/") {
				continue
			}
			files++
			r, err := theirs.Open()
			if err != nil {
				t.Fatalf("archive/zip: %v", err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("archive/zip: %v", err)
			}
			if ours, ok := p.Get(theirs.Name); !ok || !bytes.Equal(ours, content) {
				t.Fatalf("%q is read in two ways", theirs.Name)
			}
		}
		if files != len(p.Files) {
			t.Fatalf("%d files, archive/zip has %d", len(p.Files), files)
		}
		p.CheckManifest(SHA1, SHA512Object)
	})
}
