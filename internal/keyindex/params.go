package keyindex

// Defaults of Options.
const (
	// DefaultSealEntries is how many entries the tail holds before it is sealed: 4 MiB
	// of entries and 1 MiB of table. There are two tails while a seal is under way,
	// and another 8 MiB for sorting. Two tails are also what a crash can cost, a
	// moment of replaying.
	DefaultSealEntries = 1 << 18
	// DefaultMergeUpTo is how many entries a merged segment holds at most: what
	// three merges make of full tails (262,144 × 8 × 8 × 8), 1.6 GB. Beyond it the
	// number of segments grows with the index, by seven or eight for a thousand
	// million entries, and DropBefore frees space in steps of this size.
	DefaultMergeUpTo = 1 << 27
)

const (
	// mergeWidth is how many neighbours are merged into one. Fewer would rewrite
	// entries more often, more would leave more segments to look into: with eight,
	// an entry is rewritten three times and at most seven segments of a size stay.
	mergeWidth = 8
	// mergePause is how many seals pass after a merge failed before one is tried
	// again: where the disk is full, a merge that writes gigabytes in vain must not
	// follow every seal.
	mergePause = 8
	// mergeBlocks is how many blocks a merge reads at once from each segment, 96 KiB.
	mergeBlocks = 16
	// writeBuffer is how many bytes are handed to the system at once.
	writeBuffer = 256 << 10
	// syncEvery is after how many bytes a file is forced to the disk while it is
	// still being written. The log shares the disk, and its own syncs would wait
	// behind a gigabyte that is forced in one go.
	syncEvery = 16 << 20
)

// The format of a segment, in little-endian numbers:
//
//	header   magic, version, from, base, through, number of entries
//	blocks   entries in order of key, then sequence: key, sequence - base
//	table    for each block its first key and its checksum
//	checksum of header and table
//
// Checksums are CRC-32C. The number of entries determines the size of the file.
const (
	magic   = "AVKEYIDX"
	version = 1

	headerBytes   = 48
	entryBytes    = 8 + 4
	rowBytes      = 8 + 4
	checksumBytes = 4
	// blockEntries is how many entries a block holds, 6 KiB, which is one read and
	// one checksum of each lookup. A block takes twelve bytes of memory, so a
	// hundred million entries take 2.4 MB.
	blockEntries = 512
	blockBytes   = blockEntries * entryBytes
)
