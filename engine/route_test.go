package engine

import (
	"testing"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
)

// Apps of one key share their provider tokens. An app that gives the key's id to
// another key is wrong by itself, and takes nobody along.
func TestSharedProviderTokens(t *testing.T) {
	apple := apnstest.Start(t)
	wrong := testApp(t, apple, "wrong")
	key, err := auth.GenerateSigningKey(apple.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	wrong.Sandbox.Key = key
	r := newRig(t, apple, func(c *Config) {
		c.Apps = []App{wrong, testApp(t, apple, "shop"), testApp(t, apple, "other")}
	})
	tokens := func(id string) *auth.ProviderTokens { return r.app(id).tokens(apns.Sandbox) }
	if tokens("shop") != tokens("other") {
		t.Error("apps of one key do not share their provider tokens")
	}
	if tokens("shop") == tokens("wrong") {
		t.Error("another key's provider tokens are used")
	}
	if s := r.wait(r.submit(hello(), devices(0, 3)...).Message); s.States[Accepted] != 3 {
		t.Errorf("%+v", s)
	}
}
