package bundle

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// layout goes through the files in the order in which they lie in the zip. Each
// must begin where the one before ended, the first at the beginning, and the
// last must end where the directory begins: then nothing can be used twice, and
// a reader that goes from front to back sees what the directory lists.
func (z *archive) layout() {
	inOrder := slices.SortedStableFunc(slices.Values(z.entries), func(a, b *zipEntry) int { return cmp.Compare(a.local, b.local) })
	at := int64(0)
	for _, e := range inOrder {
		if e.broken {
			continue
		}
		switch {
		case e.local < at:
			z.refuse(e, "it overlaps another file of the zip")
			continue
		case e.local > at:
			z.found.add(e.name, fmt.Sprintf("%d bytes of the zip before it belong to no file", e.local-at), "make the zip anew")
		}
		end, ok := z.localHeader(e)
		if !ok {
			return // Where the next one should begin is not known.
		}
		at = end
	}
	if at < z.contents && len(*z.found) == 0 {
		z.found.add("", fmt.Sprintf("%d bytes of the zip after the last file belong to no file", z.contents-at), "make the zip anew")
	}
}

// localHeader compares the header before the data with the one in the directory
// and returns where the file ends.
func (z *archive) localHeader(e *zipEntry) (end int64, ok bool) {
	const wrong = "its header in the zip is damaged"
	header := make([]byte, localSize+len(e.name))
	if e.local+int64(len(header)) > z.contents {
		z.refuse(e, "it lies outside the zip")
		return 0, false
	}
	if _, err := z.r.ReadAt(header, e.local); err != nil && err != io.EOF || string(header[:4]) != localSignature {
		z.refuse(e, wrong)
		return 0, false
	}
	le := binary.LittleEndian
	name, extra := int64(le.Uint16(header[26:])), int64(le.Uint16(header[28:]))
	flags, method := le.Uint16(header[6:]), le.Uint16(header[8:])
	e.data = e.local + localSize + name + extra
	end = e.data + e.packed
	switch {
	case end > z.contents:
		z.refuse(e, "it lies outside the zip")
		return 0, false
	case name != int64(len(e.name)) || string(header[localSize:]) != e.name:
		z.refuse(e, "it has two names: the zip's directory says another than the file's header")
		return 0, false
	case (flags^e.flags)&(flagEncrypted|flagDescriptor|flagStrong|flagMasked) != 0 || method != e.method:
		z.refuse(e, "its two headers in the zip contradict each other")
		return 0, false
	}
	crc, packed, size := le.Uint32(header[14:]), int64(le.Uint32(header[18:])), int64(le.Uint32(header[22:]))
	if packed == 0xFFFFFFFF || size == 0xFFFFFFFF {
		z.refuse(e, zip64Entry)
		return 0, false
	}
	same := crc == e.crc && packed == e.packed && size == e.size
	// Info-ZIP that writes into a pipe knows the size, and not yet the others.
	unsaid := (crc == 0 || crc == e.crc) && (packed == 0 || packed == e.packed) && (size == 0 || size == e.size)
	if e.flags&flagDescriptor == 0 {
		if !same {
			z.refuse(e, "its two headers in the zip contradict each other")
			return 0, false
		}
		return end, true
	}
	length, described := z.descriptor(e, end)
	if !described || !same && !unsaid {
		z.refuse(e, "its two headers in the zip contradict each other")
		return 0, false
	}
	return end + length, true
}

// descriptor reads what follows the data if the sizes were not known before it
// (APPNOTE.TXT section 4.3.9), with or without its signature.
func (z *archive) descriptor(e *zipEntry, at int64) (length int64, ok bool) {
	raw := make([]byte, min(16, z.contents-at))
	if _, err := z.r.ReadAt(raw, at); err != nil && err != io.EOF {
		return 0, false
	}
	le := binary.LittleEndian
	matches := func(d []byte) bool {
		return len(d) >= 12 && le.Uint32(d) == e.crc && int64(le.Uint32(d[4:])) == e.packed && int64(le.Uint32(d[8:])) == e.size
	}
	switch {
	case len(raw) == 16 && string(raw[:4]) == descriptorSignature && matches(raw[4:]):
		return 16, true
	case matches(raw):
		return 12, true
	}
	return 0, false
}
