package auth

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
	"math"
	"math/big"
	"unicode/utf16"

	"golang.org/x/crypto/scrypt"
)

// MaxKeyDerivationWork bounds the computing that one file may ask for before it
// opens, in iterations of a hash summed over everything in the file. openssl
// and Keychain ask for a few thousand, careful people for 600,000 in each of
// three places; five million take a few seconds. A file states its own number,
// so without a bound a hostile one could keep a processor busy for years.
const MaxKeyDerivationWork = 5_000_000

// maxScryptMemory bounds the memory of scrypt in bytes; openssl asks for 16 MiB,
// OWASP's strongest advice is 128 MiB.
const maxScryptMemory = 128 << 20

// workBudget is what is left of MaxKeyDerivationWork for one file.
type workBudget struct{ left int64 }

func newBudget() *workBudget { return &workBudget{left: MaxKeyDerivationWork} }

// spend takes from the budget before the work is done.
func (b *workBudget) spend(units int64) error {
	if units < 0 || units > b.left {
		return &InputError{
			Field:   "file",
			Problem: "it asks for far more password iterations than any usual tool writes",
			Fix:     "if you trust it, write it anew with usual settings: openssl pkcs12 -in old.p12 -nodes -out credential.pem (or openssl pkcs8 -in old.key -out new.key)",
			Err:     ErrTooExpensive,
		}
	}
	b.left -= units
	return nil
}

// Password-based schemes: PKCS#5 (RFC 8018), PKCS#12 (RFC 7292 appendix C),
// scrypt (RFC 7914 section 7).
var (
	oidPBES2           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidPBKDF2          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidPBEMD5DES       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3}
	oidPBESHA1TripDES  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}
	oidPBEPKCS12Prefix = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1}
)

type pbeParameters struct {
	Salt       []byte
	Iterations int
}

type pbes2Parameters struct {
	KDF    pkix.AlgorithmIdentifier
	Scheme pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       asn1.RawValue
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParameters struct {
	Salt      []byte
	N         int
	R         int
	P         int
	KeyLength int `asn1:"optional"`
}

// pseudoRandomFunctions are the hashes of HMAC in PBKDF2 (RFC 8018 appendix
// B.1.2). An absent one means SHA-1.
var pseudoRandomFunctions = []struct {
	oid  asn1.ObjectIdentifier
	hash func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}, sha256.New224},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

// derivationWork returns the iterations that an encryption or MAC algorithm asks
// for, without doing them. Zero means that the algorithm is unknown here, so
// whoever is given it next will refuse it.
func derivationWork(algorithm pkix.AlgorithmIdentifier) int64 {
	switch {
	case algorithm.Algorithm.Equal(oidPBES2), algorithm.Algorithm.Equal(oidPBMAC1):
		// Both begin with the key derivation function.
		var parameters pbes2Parameters
		if !unmarshalAll(algorithm.Parameters.FullBytes, &parameters) {
			return 0
		}
		if parameters.KDF.Algorithm.Equal(oidScrypt) {
			return scryptWork(parameters.KDF)
		}
		var kdf pbkdf2Parameters
		if !unmarshalAll(parameters.KDF.Parameters.FullBytes, &kdf) {
			return 0
		}
		// The longest key is that of AES-256, or a MAC key that says its length
		// and is refused above 64 bytes; each hash full of key costs all the
		// iterations again.
		length := min(max(kdf.KeyLength, 32), 64)
		size := sha1.Size
		for _, prf := range pseudoRandomFunctions {
			if prf.oid.Equal(kdf.PRF.Algorithm) {
				size = prf.hash().Size()
			}
		}
		return int64(max(kdf.Iterations, 0)) * int64((length+size-1)/size)
	case len(algorithm.Algorithm) == len(oidPBEPKCS12Prefix)+1 && algorithm.Algorithm[:len(oidPBEPKCS12Prefix)].Equal(oidPBEPKCS12Prefix):
		var parameters pbeParameters
		if !unmarshalAll(algorithm.Parameters.FullBytes, &parameters) {
			return 0
		}
		// Two runs for a key of 24 bytes, one for the initialisation vector.
		return 3 * int64(max(parameters.Iterations, 0))
	case algorithm.Algorithm.Equal(oidPBEMD5DES):
		var parameters pbeParameters
		if !unmarshalAll(algorithm.Parameters.FullBytes, &parameters) {
			return 0
		}
		return int64(max(parameters.Iterations, 0))
	default:
		return 0
	}
}

func scryptWork(kdf pkix.AlgorithmIdentifier) int64 {
	var parameters scryptParameters
	if !unmarshalAll(kdf.Parameters.FullBytes, &parameters) {
		return 0
	}
	n, r, p := int64(parameters.N), int64(parameters.R), int64(parameters.P)
	if n < 1 || r < 1 || p < 1 {
		return 0
	}
	// Compare by division: the product of three numbers from a file overflows.
	// The answer for too much is one that no budget allows.
	if n > maxScryptMemory/128 || r > maxScryptMemory/128/n || p > math.MaxInt64/(n*r) {
		return math.MaxInt64
	}
	return n * r * p
}

func unmarshalAll(der []byte, value any) bool {
	rest, err := asn1.Unmarshal(der, value)
	return err == nil && len(rest) == 0
}

var errUnknownScheme = errors.New("it is encrypted in a way that is not known here")

// deriveKey runs the key derivation function of PBES2. The caller has spent the
// budget.
func deriveKey(kdf pkix.AlgorithmIdentifier, password string, length int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var parameters pbkdf2Parameters
		if !unmarshalAll(kdf.Parameters.FullBytes, &parameters) || parameters.Iterations < 1 ||
			!isUniversal(parameters.Salt, asn1.TagOctetString) {
			return nil, errUnknownScheme
		}
		if parameters.PRF.Algorithm == nil {
			return pbkdf2.Key(sha1.New, password, parameters.Salt.Bytes, parameters.Iterations, length)
		}
		for _, prf := range pseudoRandomFunctions {
			if prf.oid.Equal(parameters.PRF.Algorithm) {
				return pbkdf2.Key(prf.hash, password, parameters.Salt.Bytes, parameters.Iterations, length)
			}
		}
		return nil, errUnknownScheme
	case kdf.Algorithm.Equal(oidScrypt):
		var parameters scryptParameters
		if !unmarshalAll(kdf.Parameters.FullBytes, &parameters) {
			return nil, errUnknownScheme
		}
		return scrypt.Key([]byte(password), parameters.Salt, parameters.N, parameters.R, parameters.P, length)
	default:
		return nil, errUnknownScheme
	}
}

// pbkdf1MD5 is PBKDF1 with MD5 (RFC 8018 section 5.1), with which openssl before
// 1.1 encrypted PKCS#8 keys.
func pbkdf1MD5(password string, salt []byte, iterations int) []byte {
	sum := md5.Sum(append([]byte(password), salt...))
	for range iterations - 1 {
		sum = md5.Sum(sum[:])
	}
	return sum[:]
}

// The purposes of PKCS#12 key derivation (RFC 7292 appendix B.3).
const (
	pkcs12ForKey = 1
	pkcs12ForIV  = 2
	pkcs12ForMAC = 3
)

// pkcs12SHA1 derives size bytes with SHA-1 as RFC 7292 appendix B.2 says; the
// names follow the RFC. password is a BMPString with its two terminating zeros,
// or nil.
func pkcs12SHA1(purpose byte, password, salt []byte, iterations, size int) []byte {
	const v = sha1.BlockSize
	repeat := func(pattern []byte) []byte {
		filled := make([]byte, (len(pattern)+v-1)/v*v)
		for i := range filled {
			filled[i] = pattern[i%len(pattern)]
		}
		return filled
	}
	d := make([]byte, v)
	for i := range d {
		d[i] = purpose
	}
	i := append(repeat(salt), repeat(password)...)
	modulus := new(big.Int).Lsh(big.NewInt(1), 8*v)

	var out []byte
	for {
		a := sha1.Sum(append(d, i...))
		for range iterations - 1 {
			a = sha1.Sum(a[:])
		}
		out = append(out, a[:]...)
		if len(out) >= size {
			return out[:size]
		}
		// Each block of I becomes (block + B + 1) mod 2^(8v).
		b := make([]byte, v)
		for j := range b {
			b[j] = a[j%len(a)]
		}
		increment := new(big.Int).SetBytes(b)
		increment.Add(increment, big.NewInt(1))
		for block := i; len(block) > 0; block = block[v:] {
			sum := new(big.Int).SetBytes(block[:v])
			sum.Add(sum, increment).Mod(sum, modulus).FillBytes(block[:v])
		}
	}
}

// bmpPassword encodes a password as PKCS#12 has it (RFC 7292 appendix B.1).
func bmpPassword(password string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		out = append(out, byte(unit>>8), byte(unit))
	}
	return append(out, 0, 0)
}
