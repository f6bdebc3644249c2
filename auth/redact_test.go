package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

// However a value with a secret is printed, encoded or logged, by itself or
// inside somebody else's struct, the secret must not be there in any spelling.
func TestNothingPrintsSecrets(t *testing.T) {
	key := must(GenerateSigningKey(testKeyID))
	providerTokens := must(NewProviderTokens(ProviderTokensConfig{Key: key, TeamID: testTeamID}))
	current := must(providerTokens.Current())
	certificate := must(ParseCertificate(fixture(t, "ec.p12"), fixturePassword))

	secrets := []string{strings.TrimPrefix(current.Authorization(), "bearer ")}
	secrets = append(secrets, strings.Split(secrets[0], ".")[2])
	addKey := func(raw []byte) {
		secrets = append(secrets,
			new(big.Int).SetBytes(raw).String(),
			hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
			base64.StdEncoding.EncodeToString(raw),
			fmt.Sprint(raw)[1:40])
	}
	addKey(must(key.key.Bytes()))
	addKey(must(certificate.TLS.PrivateKey.(interface{ Bytes() ([]byte, error) }).Bytes()))

	type holder struct {
		Key         *SigningKey
		key         *SigningKey
		KeyValue    SigningKey
		keyValue    SigningKey
		Current     *ProviderToken
		current     ProviderToken
		Certificate *Certificate
		certificate Certificate
		source      *ProviderTokens
		pin         *Pin
	}
	pin := providerTokens.Pin()
	_, _, _ = pin.Token()
	inside := holder{key, key, *key, *key, current, *current, certificate, *certificate, providerTokens, pin}

	var logged bytes.Buffer
	loggers := []*slog.Logger{
		slog.New(slog.NewTextHandler(&logged, nil)),
		slog.New(slog.NewJSONHandler(&logged, nil)),
	}
	for _, value := range []any{
		key, *key, current, *current, certificate, *certificate, providerTokens, pin, inside, &inside,
		ProviderTokensConfig{Key: key, TeamID: testTeamID},
		[]*SigningKey{key}, map[string]any{"a": *key, "b": *current},
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%U"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		if text, err := json.Marshal(value); err == nil {
			out.Write(text)
		}
		if text, err := xml.Marshal(value); err == nil {
			out.Write(text)
		}
		for _, logger := range loggers {
			logger.Info("here", "value", value)
		}
		out.WriteString(logged.String())
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%T shows a secret", value)
			}
		}
	}
	if text := fmt.Sprintf("%+v", inside.Key); text != "signing key ABC123DEFG (redacted)" {
		t.Errorf("%q", text)
	}
	if text := string(must(json.Marshal(certificate))); !strings.Contains(text, "private key redacted") {
		t.Errorf("%q", text)
	}
}
