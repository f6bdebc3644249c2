package bundle

import "cmp"

// Limits bound what a package may cost to read. Zero means the default.
type Limits struct {
	// Files is how many files and folders there may be; 1,000 by default.
	Files int
	// FileBytes is how large one file may be when unpacked; 32 MiB by default.
	FileBytes int64
	// TotalBytes is how large all files together may be when unpacked, and how
	// large the zip may be; 64 MiB by default.
	TotalBytes int64
	// Ratio is how many times larger than its compressed form a file of more than
	// 1 MiB may be; 200 by default. Deflate can reach 1032.
	Ratio int64
	// NameBytes is how long a name may be, folders included; 255 by default.
	NameBytes int
}

func (l Limits) orDefault() Limits {
	return Limits{
		Files:      cmp.Or(l.Files, 1000),
		FileBytes:  cmp.Or(l.FileBytes, 32<<20),
		TotalBytes: cmp.Or(l.TotalBytes, 64<<20),
		Ratio:      cmp.Or(l.Ratio, 200),
		NameBytes:  cmp.Or(l.NameBytes, 255),
	}
}

// ratioFrom is the size below which a ratio says nothing: a short file of equal
// lines compresses well and costs nothing.
const ratioFrom = 1 << 20
