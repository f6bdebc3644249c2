package bundle

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// ReadZip reads a package from a zip of the given size in bytes.
//
// Refused is what one reader sees and another does not, or what costs more than
// it should: entries that overlap, bytes that belong to none, headers that
// contradict each other, encryption, symbolic links, zip64, sizes that are not
// true, and whatever the limits forbid. Folders may be listed and are ignored.
//
// The error is *[Error]. The package is nil if the zip as a whole cannot be
// read; otherwise it holds the files that are in order, so that the caller can
// look for more problems and report all of them at once.
func ReadZip(r io.ReaderAt, size int64, limits Limits) (*Package, error) {
	limits = limits.orDefault()
	var found problems
	z := &archive{r: r, size: size, limits: limits, found: &found}
	if !z.directory() {
		return nil, found.err()
	}
	z.layout()
	names := make([]string, 0, len(z.entries))
	for _, e := range z.entries {
		if len(e.name) <= limits.NameBytes { // others are refused, and could be costly
			names = append(names, e.name)
		}
	}
	checkClashes(names, &found)
	checkNested(names, &found)

	p := &Package{}
	total := int64(0)
	for _, e := range z.entries {
		if !z.usable(e) {
			continue
		}
		if total += e.size; total > limits.TotalBytes {
			found.add(e.name, fmt.Sprintf("with it the files are larger than %d bytes together", limits.TotalBytes), "")
			break
		}
		if data, ok := z.unpack(e); ok {
			p.Files = append(p.Files, File{Name: e.name, Data: data})
		}
	}
	p.sort()
	p.Files = slices.CompactFunc(p.Files, func(a, b File) bool { return a.Name == b.Name })
	return p, found.err()
}

// unpack reads one file and holds it against what the headers say.
func (z *archive) unpack(e *zipEntry) ([]byte, bool) {
	packed := make([]byte, e.packed)
	if _, err := z.r.ReadAt(packed, e.data); err != nil && err != io.EOF {
		z.found.add(e.name, "it cannot be read: "+err.Error(), "")
		return nil, false
	}
	data := packed
	if e.method == methodDeflate {
		source := bytes.NewReader(packed)
		inflater := flate.NewReader(source)
		// The size is only what the header says: the buffer grows with what is
		// really there, up to one byte more than that.
		var out bytes.Buffer
		_, err := io.Copy(&out, io.LimitReader(inflater, e.size+1))
		switch {
		case int64(out.Len()) > e.size:
			z.found.add(e.name, fmt.Sprintf("it unpacks to more than the %d bytes that its header says", e.size), "")
			return nil, false
		case err != nil:
			z.found.add(e.name, "its compressed data is damaged", "")
			return nil, false
		case source.Len() > 0:
			z.found.add(e.name, fmt.Sprintf("%d bytes follow its compressed data", source.Len()), "")
			return nil, false
		}
		data = out.Bytes()
	}
	if int64(len(data)) != e.size {
		z.found.add(e.name, fmt.Sprintf("it has %d bytes, and its header says %d", len(data), e.size), "")
		return nil, false
	}
	if crc32.ChecksumIEEE(data) != e.crc {
		z.found.add(e.name, "its checksum does not match: it is damaged", "")
		return nil, false
	}
	return data, true
}

// usable checks what can be known before unpacking.
func (z *archive) usable(e *zipEntry) bool {
	// Without an offset, the layout could not be followed as far as this one.
	if e.broken || e.data == 0 {
		return false
	}
	name, folder := strings.CutSuffix(e.name, "/")
	problem, fix := checkName(name, z.limits)
	switch {
	case problem != "":
	case folder && e.size == 0:
		return false
	case folder:
		problem = "it is a folder with content of its own"
	case e.flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		problem, fix = "it is encrypted", "devices have no password; zip without encryption"
	case e.method != methodStore && e.method != methodDeflate:
		problem, fix = fmt.Sprintf("it is compressed with method %d", e.method), "store or deflate (methods 0 and 8)"
	case e.isLink():
		problem, fix = "it is a symbolic link, which packages cannot hold", "zip without -y, or put a copy of the file there"
	case e.size > z.limits.FileBytes:
		problem = fmt.Sprintf("it has %d bytes, and %d are possible", e.size, z.limits.FileBytes)
	case e.size > ratioFrom && e.size/max(e.packed, 1) > z.limits.Ratio:
		problem = fmt.Sprintf("it unpacks to %d times its compressed size, and %d are possible", e.size/max(e.packed, 1), z.limits.Ratio)
	case e.method == methodStore && e.size != e.packed:
		problem = fmt.Sprintf("it is stored in %d bytes and said to have %d", e.packed, e.size)
	default:
		return true
	}
	z.found.add(e.name, problem, fix)
	return false
}

// Sizes and signatures of APPNOTE.TXT sections 4.3.7, 4.3.12 and 4.3.16.
const (
	localSize, localSignature         = 30, "PK\x03\x04"
	directorySize, directorySignature = 46, "PK\x01\x02"
	endSize, endSignature             = 22, "PK\x05\x06"
	descriptorSignature               = "PK\x07\x08"

	methodStore, methodDeflate = 0, 8

	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3 // sizes follow the data
	flagStrong     = 1 << 6
	flagUTF8       = 1 << 11
	flagMasked     = 1 << 13

	extraUnicodePath = 0x7075
)

type archive struct {
	r        io.ReaderAt
	size     int64
	limits   Limits
	found    *problems
	entries  []*zipEntry
	contents int64 // where the directory begins, and so where the files end
}

type zipEntry struct {
	name         string
	flags        uint16
	method       uint16
	crc          uint32
	packed, size int64
	local, data  int64 // offsets of the local header and of what follows it
	host         byte
	attributes   uint32
	broken       bool // reported; not to be unpacked
}

// isLink looks at the mode of files from Unix (3) and macOS (19).
func (e *zipEntry) isLink() bool {
	mode := e.attributes >> 16
	return (e.host == 3 || e.host == 19) && mode&0xF000 != 0 && mode&0xF000 != 0x8000
}

func (z *archive) bad(problem, fix string) bool {
	z.found.add("", problem, fix)
	return false
}

// directory finds and reads the central directory. It reports whether that could
// be read.
func (z *archive) directory() bool {
	if z.size > z.limits.TotalBytes {
		return z.bad(fmt.Sprintf("the zip has %d bytes, and %d are possible", z.size, z.limits.TotalBytes), "")
	}
	tail := make([]byte, min(z.size, endSize+0xFFFF))
	if _, err := z.r.ReadAt(tail, z.size-int64(len(tail))); err != nil && err != io.EOF {
		return z.bad("the zip cannot be read: "+err.Error(), "")
	}
	at := findEnd(tail)
	if at < 0 {
		start := make([]byte, min(z.size, 4))
		z.r.ReadAt(start, 0)
		if string(start) == localSignature && bytes.Contains(tail, []byte(endSignature)) {
			return z.bad("something follows the end of the zip, be it a line break that a script printed after it", "")
		}
		if string(start) == localSignature {
			return z.bad("the zip is cut short: its directory, which stands at the end, is missing", "")
		}
		return z.bad("it is not a zip", "")
	}
	end, le := tail[at:], binary.LittleEndian
	count := int(le.Uint16(end[10:]))
	length, offset := int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	switch position := z.size - int64(len(tail)-at); {
	case count == 0xFFFF || length == 0xFFFFFFFF || offset == 0xFFFFFFFF:
		return z.bad("it is a zip64 archive, which is for more and larger files than packages have", "")
	case le.Uint16(end[4:]) != 0 || le.Uint16(end[6:]) != 0 || le.Uint16(end[8:]) != uint16(count):
		return z.bad("it is one part of a zip in several parts", "")
	case offset+length != position:
		return z.bad("the zip's directory is not where it should be: it is damaged, or something was put before or into it", "")
	case count > z.limits.Files:
		return z.bad(fmt.Sprintf("there are %d files, and %d are possible", count, z.limits.Files), "")
	case length > int64(z.limits.Files)*1024:
		return z.bad(fmt.Sprintf("the zip's directory has %d bytes, far more than %d files need", length, count), "")
	}
	z.contents = offset
	raw := make([]byte, length)
	if _, err := z.r.ReadAt(raw, offset); err != nil && err != io.EOF {
		return z.bad("the zip cannot be read: "+err.Error(), "")
	}
	for range count {
		var e *zipEntry
		if e, raw = z.header(raw); e == nil {
			return z.bad("the zip's directory is damaged", "")
		}
		z.entries = append(z.entries, e)
	}
	if len(raw) > 0 {
		return z.bad("the zip's directory has more entries than it says", "")
	}
	return true
}

// findEnd looks for the end record from behind, as archive/zip does. Its comment
// must reach exactly to the end.
func findEnd(tail []byte) int {
	for i := len(tail) - endSize; i >= 0; i-- {
		if string(tail[i:i+4]) == endSignature {
			if i+endSize+int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail) {
				return i
			}
			return -1
		}
	}
	return -1
}

// header reads one header of the directory.
func (z *archive) header(raw []byte) (*zipEntry, []byte) {
	if len(raw) < directorySize || string(raw[:4]) != directorySignature {
		return nil, nil
	}
	le := binary.LittleEndian
	name, extra, comment := int(le.Uint16(raw[28:])), int(le.Uint16(raw[30:])), int(le.Uint16(raw[32:]))
	if len(raw) < directorySize+name+extra+comment {
		return nil, nil
	}
	e := &zipEntry{
		host: raw[5], flags: le.Uint16(raw[8:]), method: le.Uint16(raw[10:]), crc: le.Uint32(raw[16:]),
		packed: int64(le.Uint32(raw[20:])), size: int64(le.Uint32(raw[24:])),
		attributes: le.Uint32(raw[38:]), local: int64(le.Uint32(raw[42:])),
		name: string(raw[directorySize : directorySize+name]),
	}
	if e.packed == 0xFFFFFFFF || e.size == 0xFFFFFFFF || e.local == 0xFFFFFFFF {
		z.refuse(e, zip64Entry)
	}
	if other, ok := unicodePath(raw[directorySize+name:][:extra]); ok && other != e.name {
		z.refuse(e, "it has a second name, "+shown(other))
	}
	return e, raw[directorySize+name+extra+comment:]
}

const zip64Entry = "it is an entry of zip64, which is for larger files than packages have"

func (z *archive) refuse(e *zipEntry, problem string) {
	e.broken = true
	z.found.add(e.name, problem, "make the zip anew")
}

// unicodePath finds the extra field that gives a name in UTF-8 beside one that
// is not (APPNOTE.TXT section 4.6.9). Some readers prefer it.
func unicodePath(extra []byte) (string, bool) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if n > len(extra)-4 {
			return "", false
		}
		if id == extraUnicodePath && n >= 5 {
			return string(extra[9 : 4+n]), true
		}
		extra = extra[4+n:]
	}
	return "", false
}
