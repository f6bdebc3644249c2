package auth

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"
)

type encryptedPrivateKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// encryptionSchemes are the ciphers of PBES2 (RFC 8018 appendix B.2), all in CBC
// mode with the initialisation vector as parameter.
var encryptionSchemes = []struct {
	oid       asn1.ObjectIdentifier
	keyLength int
	cipher    func([]byte) (cipher.Block, error)
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32, aes.NewCipher},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, 24, des.NewTripleDESCipher},
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5208 section 6). The
// standard library does not.
func decryptPKCS8(der []byte, password string, budget *workBudget) (crypto.Signer, error) {
	var info encryptedPrivateKeyInfo
	if !unmarshalAll(der, &info) {
		return nil, damagedKey(errors.New("malformed encrypted private key"))
	}
	if password == "" {
		return nil, passwordRequired("private key")
	}
	if err := budget.spend(derivationWork(info.Algorithm)); err != nil {
		return nil, err
	}
	block, iv, err := pkcs8Cipher(info.Algorithm, password)
	if err != nil {
		return nil, &InputError{
			Field:   "private key",
			Problem: errUnknownScheme.Error(),
			Fix:     "encrypt it in a usual way: openssl pkcs8 -in old.key | openssl pkcs8 -topk8 -out new.key",
			Err:     err,
		}
	}
	plain, ok := decryptCBC(block, iv, info.Data)
	if !ok {
		return nil, wrongPassword("private key", password)
	}
	key, err := parsePrivateKey(plain)
	if errors.Is(err, errKeyTooLarge) {
		return nil, damagedKey(err)
	}
	if err != nil {
		// One wrong password in 256 leaves padding that looks right.
		return nil, wrongPassword("private key", password)
	}
	return key, nil
}

func pkcs8Cipher(algorithm pkix.AlgorithmIdentifier, password string) (block cipher.Block, iv []byte, err error) {
	switch {
	case algorithm.Algorithm.Equal(oidPBES2):
		var parameters pbes2Parameters
		if !unmarshalAll(algorithm.Parameters.FullBytes, &parameters) {
			return nil, nil, errUnknownScheme
		}
		for _, scheme := range encryptionSchemes {
			if !scheme.oid.Equal(parameters.Scheme.Algorithm) {
				continue
			}
			if !isUniversal(parameters.Scheme.Parameters, asn1.TagOctetString) {
				return nil, nil, errUnknownScheme
			}
			key, err := deriveKey(parameters.KDF, password, scheme.keyLength)
			if err != nil {
				return nil, nil, err
			}
			block, err := scheme.cipher(key)
			return block, parameters.Scheme.Parameters.Bytes, err
		}
		return nil, nil, errUnknownScheme
	case algorithm.Algorithm.Equal(oidPBESHA1TripDES), algorithm.Algorithm.Equal(oidPBEMD5DES):
		var parameters pbeParameters
		if !unmarshalAll(algorithm.Parameters.FullBytes, &parameters) || parameters.Iterations < 1 {
			return nil, nil, errUnknownScheme
		}
		if algorithm.Algorithm.Equal(oidPBEMD5DES) {
			key := pbkdf1MD5(password, parameters.Salt, parameters.Iterations)
			block, err = des.NewCipher(key[:8])
			return block, key[8:], err
		}
		bmp := bmpPassword(password)
		iv = pkcs12SHA1(pkcs12ForIV, bmp, parameters.Salt, parameters.Iterations, des.BlockSize)
		block, err = des.NewTripleDESCipher(pkcs12SHA1(pkcs12ForKey, bmp, parameters.Salt, parameters.Iterations, 24))
		return block, iv, err
	default:
		return nil, nil, errUnknownScheme
	}
}

// decryptCBC decrypts and takes off the padding (RFC 8018 section 6.1.1).
func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, bool) {
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, false
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size {
		return nil, false
	}
	body := plain[:len(plain)-padding]
	return body, bytes.Equal(plain[len(body):], bytes.Repeat([]byte{byte(padding)}, padding))
}

// decryptPEMKey opens a key with Proc-Type and DEK-Info headers (RFC 1421), the
// traditional format of openssl. The scheme is weak and the standard library
// deprecates it for that reason; people bring such files all the same, and
// reading one makes it no weaker.
func decryptPEMKey(block *pem.Block, password string) (crypto.Signer, error) {
	if password == "" {
		return nil, passwordRequired("private key")
	}
	//lint:ignore SA1019 see above
	der, err := x509.DecryptPEMBlock(block, []byte(password))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, wrongPassword("private key", password)
	}
	if err != nil {
		return nil, damagedKey(errors.New("its DEK-Info header or its length is not understood"))
	}
	key, err := parsePrivateKey(der)
	if errors.Is(err, errKeyTooLarge) {
		return nil, damagedKey(err)
	}
	if err != nil {
		return nil, wrongPassword("private key", password)
	}
	return key, nil
}

func damagedKey(err error) error {
	return &InputError{
		Field:   "private key",
		Problem: "it cannot be read (" + err.Error() + ")",
		Fix:     "export it again; only RSA and EC keys are used with Apple's certificates",
		Err:     err,
	}
}

func passwordRequired(field string) error {
	return &InputError{
		Field:   field,
		Problem: "it is encrypted and no password was given",
		Fix:     "give the password that was chosen when it was exported",
		Err:     ErrPasswordRequired,
	}
}

func wrongPassword(field, password string) error {
	e := &InputError{
		Field:   field,
		Problem: "the password does not open it",
		Fix:     "give the password that was chosen when it was exported (for Keychain Access that is not the login password); a damaged file looks the same",
		Err:     ErrWrongPassword,
	}
	if strings.TrimSpace(password) != password {
		e.Fix = "the password that was given begins or ends with a space or a line break: remove it if it came along from a file"
	}
	return e
}
