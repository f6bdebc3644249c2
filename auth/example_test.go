package auth_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"aviso.example/auth"
)

// One ProviderTokens serves all connections; each connection has its own pin.
func Example() {
	key, err := auth.LoadSigningKey("testdata/AuthKey_ABC123DEFG.p8", "")
	if err != nil {
		log.Fatal(err)
	}
	providerTokens, err := auth.NewProviderTokens(auth.ProviderTokensConfig{Key: key, TeamID: "A1B2C3D4E5"})
	if err != nil {
		log.Fatal(err)
	}
	pin := providerTokens.Pin()
	current, changed, err := pin.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.KeyID(), changed, current.Authorization()[:10])

	current, changed, err = pin.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("still the same:", !changed && time.Since(current.IssuedAt()) < time.Hour)
	// Output:
	// ABC123DEFG true bearer eyJ
	// still the same: true
}

func ExampleLoadCertificate() {
	certificate, err := auth.LoadCertificate("testdata/openssl3-chain.p12", "secret")
	if err != nil {
		log.Fatal(err)
	}
	info := certificate.Info
	fmt.Println(info.Kind)
	fmt.Println("team", info.TeamID, "default topic", info.DefaultTopic())
	fmt.Println("must name a topic:", info.NeedsTopic())
	for _, topic := range info.Topics {
		fmt.Println(" ", topic.Name, topic.Labels)
	}
	// Printing the certificate shows no key.
	fmt.Println(certificate)
	// Output:
	// app push, sandbox and production
	// team A1B2C3D4E5 default topic com.example.app
	// must name a topic: true
	//   com.example.app [app]
	//   com.example.app.voip [voip]
	//   com.example.app.complication [complication]
	// certificate Apple Push Services: com.example.app (private key redacted)
}

// A program can tell a password that is missing from one that is wrong, and a
// person is told what to do.
func ExampleLoadCertificate_errors() {
	_, err := auth.LoadCertificate("testdata/openssl3.p12", "")
	fmt.Println("ask for the password:", errors.Is(err, auth.ErrPasswordRequired))
	_, err = auth.LoadCertificate("testdata/openssl3.p12", "guess")
	fmt.Println("ask again:", errors.Is(err, auth.ErrWrongPassword))

	_, err = auth.LoadCertificate("testdata/apns.cer", "")
	if input, ok := errors.AsType[*auth.InputError](err); ok {
		fmt.Println(input.Problem)
		fmt.Println(input.Fix)
	}
	// Output:
	// ask for the password: true
	// ask again: true
	// this is a .cer file as Apple's portal offers it: a certificate without its private key, which never left the machine that made the request
	// on the Mac that made the request open Keychain Access, My Certificates, select the certificate with the key below it, and export it as .p12
}

func ExampleInspect() {
	data, err := os.ReadFile("testdata/pass.pem")
	if err != nil {
		log.Fatal(err)
	}
	report, err := auth.Inspect("pass.pem", data, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.What)
	for _, use := range report.Uses {
		fmt.Println("for:", use)
	}
	for _, finding := range report.Findings {
		fmt.Printf("%s: %s\n", finding.Severity, finding.Problem)
	}
	fmt.Println("usable:", report.Usable())
	// Output:
	// a certificate: Wallet pass
	// for: signing Wallet passes of pass.com.example.test
	// for: telling devices that such a pass changed, through api.push.apple.com
	// error: certificate: the file holds a certificate and not its private key
	// usable: false
}

func ExampleProviderTokens_Renew() {
	// A clock that stands still keeps the example the same every day.
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		log.Fatal(err)
	}
	providerTokens, err := auth.NewProviderTokens(auth.ProviderTokensConfig{
		Key: key, TeamID: "A1B2C3D4E5", Now: func() time.Time { return now },
	})
	if err != nil {
		log.Fatal(err)
	}
	refused, err := providerTokens.Current()
	if err != nil {
		log.Fatal(err)
	}

	// APNs answers ExpiredProviderToken to one that is two minutes old.
	now = now.Add(2 * time.Minute)
	_, err = providerTokens.Renew(refused)
	if tooSoon, ok := errors.AsType[*auth.RenewTooSoonError](err); ok {
		fmt.Println("check the clock; another one in", tooSoon.Wait)
	}

	now = now.Add(18 * time.Minute)
	renewed, err := providerTokens.Renew(refused)
	fmt.Println(renewed != refused, err)
	// Output:
	// check the clock; another one in 18m0s
	// true <nil>
}
