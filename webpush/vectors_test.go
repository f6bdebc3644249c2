package webpush

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"
	"time"
)

func bytes64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := decode64(text)
	if err != nil {
		t.Fatalf("%.10s…: %v", text, err)
	}
	return b
}

func same(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if encode64(got) != want {
		t.Errorf("%s is %s, want %s", what, encode64(got), want)
	}
}

// RFC 8291 section 5 and appendix A.
const (
	vectorPlaintext  = "V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24"
	vectorAsPublic   = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
	vectorAsPrivate  = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	vectorUaPublic   = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	vectorUaPrivate  = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	vectorSalt       = "DGv6ra1nlYgDCS1FRnbzlw"
	vectorAuth       = "BTBZMqHH6r4Tts7J_aSIgg"
	vectorSecret     = "S4lYMb_L0FxCeq0WhDx813KgSYqU26kOyzWUdsXYyrg"
	vectorPRK        = "09_eUZGrsvxChDCGRCdkLiDXrReGOEVeSCdCcPBSJSc"
	vectorNonce      = "4h_95klXJ5E_qnoN"
	vectorCiphertext = "8pfeW0KbunFT06SuDKoJH9Ql87S1QUrdirN6GcG7sFz1y1sqLgVi1VhjVkHsUoEsbI_0LpXMuGvnzQ"
	vectorBody       = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

func TestRFC8291(t *testing.T) {
	sender, err := ecdh.P256().NewPrivateKey(bytes64(t, vectorAsPrivate))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "as_public", sender.PublicKey().Bytes(), vectorAsPublic)
	s, err := NewSubscription("https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", vectorUaPublic, vectorAuth, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := sender.ECDH(s.get().key)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ecdh_secret", shared, "kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs")
	secret, err := messageSecret(shared, s.get().auth[:], s.get().key.Bytes(), sender.PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "IKM", secret, vectorSecret)
	prk, err := hkdf.Extract(sha256.New, secret, bytes64(t, vectorSalt))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "PRK", prk, vectorPRK)
	_, nonce, err := recordCipher(secret, bytes64(t, vectorSalt))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "NONCE", nonce, vectorNonce)

	body, err := encryptWith(sender, bytes64(t, vectorSalt), s.get().key, s.get().auth[:], bytes64(t, vectorPlaintext), 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the body", body, vectorBody)
	same(t, "the ciphertext", body[headerLength:], vectorCiphertext)

	r, err := ParseReceiver(vectorUaPrivate, vectorAuth)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := r.Decrypt(bytes64(t, vectorBody))
	if err != nil || string(plaintext) != "When I grow up, I want to be a watermelon" {
		t.Errorf("%q, %v", plaintext, err)
	}
}

// RFC 8188 section 3.1 has one record, section 3.2 two and padding in the first.
func TestRFC8188(t *testing.T) {
	for _, v := range []struct{ key, keyID, message, prk, nonce string }{
		{
			"yqdlZ-tYemfogSmv7Ws5PQ", "", "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg",
			"zyeH5phsIsgUyd4oiSEIy35x-gIi4aM7y0hCF8mwn9g", "Bcs8gkIRKLI8GeI8",
		},
		{
			"BO3ZVPxUlnLORbVGMpbT1Q", "a1", "uNCkWiNYzKTnBN9ji3-qWAAAABkCYTHOG8chz_gnvgOqdGYovxyjuqRyJFjEDyoF1Fvkj6hQPdPHI51OEUKEpgz3SsLWIqS_uA",
			"mNHRBFh-eOCdAdmmuVtym8Hf44ov7FPsQZ3f4knYjHE", "VqylG1rdt-mJrNgP",
		},
	} {
		message := bytes64(t, v.message)
		c, err := parseCoded(message)
		if err != nil || string(c.keyID) != v.keyID {
			t.Fatalf("key id %q, %v", c.keyID, err)
		}
		prk, err := hkdf.Extract(sha256.New, bytes64(t, v.key), c.salt)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "PRK", prk, v.prk)
		_, nonce, err := recordCipher(bytes64(t, v.key), c.salt)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "NONCE", nonce, v.nonce)
		plaintext, err := c.open(bytes64(t, v.key))
		if err != nil || string(plaintext) != "I am the walrus" {
			t.Errorf("%q, %v", plaintext, err)
		}
		if v.keyID != "" {
			continue // padding in a record before the last is not ours to make
		}
		coded, err := appendCoded(nil, bytes64(t, v.key), c.salt, c.keyID, c.size, plaintext, 0)
		if err != nil || !bytes.Equal(coded, message) {
			t.Errorf("coded again: %s, %v", encode64(coded), err)
		}
	}
}

// The worked example of RFC 8292: its signature fits its key, and our claims are
// its claims, byte for byte.
func TestRFC8292(t *testing.T) {
	const (
		jwt = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
		k   = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
	)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), bytes64(t, k))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(public *ecdsa.PublicKey, jwt string) bool {
		signed, signature := jwt[:strings.LastIndexByte(jwt, '.')], bytes64(t, jwt[strings.LastIndexByte(jwt, '.')+1:])
		digest := sha256.Sum256([]byte(signed))
		return len(signature) == 64 && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	if !verify(public, jwt) {
		t.Error("the signature of the example does not verify")
	}
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := signJWT(key, "https://push.example.net", "mailto:push@example.com", time.Unix(1453523768, 0))
	if err != nil {
		t.Fatal(err)
	}
	if at := strings.LastIndexByte(jwt, '.'); ours[:at] != jwt[:at] {
		t.Errorf("header and claims are %s", ours[:at])
	}
	// One r in 256 begins with a zero, which has to stay.
	for i, zero := 0, false; i < 20 || !zero; i++ {
		ours, err := signJWT(key, "https://push.example.net", "mailto:push@example.com", time.Unix(int64(i), 0))
		if err != nil || i == 10_000 {
			t.Fatalf("%d signatures, %v", i, err)
		}
		begins := bytes64(t, ours[strings.LastIndexByte(ours, '.')+1:])[0] == 0
		zero = zero || begins
		if (begins || i < 20) && !verify(&key.private.PublicKey, ours) {
			t.Fatal("ours does not verify")
		}
	}
}
