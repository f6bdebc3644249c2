package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestKindsAndTopics(t *testing.T) {
	app, voip := Topic{"com.example.app", []string{"app"}}, Topic{"com.example.app.voip", []string{"voip"}}
	for _, test := range []struct {
		file                string
		kind                Kind
		uid, team           string
		topics              []Topic
		listed              bool
		sandbox, production bool
	}{
		{"apns.pem", KindPushUniversal, "com.example.app", testTeamID, []Topic{app, voip, {"com.example.app.complication", []string{"complication"}}}, true, true, true},
		{"apns.cer", KindPushUniversal, "com.example.app", testTeamID, []Topic{app, voip, {"com.example.app.complication", []string{"complication"}}}, true, true, true},
		{"apnsdev.pem", KindPushSandbox, "com.example.app", testTeamID, []Topic{{Name: "com.example.app"}}, false, true, false},
		{"apnsprod.pem", KindPushProduction, "com.example.app", testTeamID, []Topic{{Name: "com.example.app"}}, false, false, true},
		{"voip.pem", KindVoIP, "com.example.app.voip", testTeamID, []Topic{app, voip}, true, true, true},
		{"watchkit.pem", KindWatchKit, "com.example.app.watchkitapp.complication", testTeamID, []Topic{{Name: "com.example.app.watchkitapp.complication"}}, false, false, true},
		{"pass.pem", KindPass, "pass.com.example.test", testTeamID, []Topic{{Name: "pass.com.example.test"}}, false, false, true},
		{"passec.pem", KindPass, "pass.com.example.test", testTeamID, []Topic{{Name: "pass.com.example.test"}}, false, false, true},
		{"order.pem", KindOrder, "order.com.example.test", testTeamID, []Topic{{Name: "order.com.example.test"}}, false, false, true},
		{"website.pem", KindWebsite, "web.com.example.domain", testTeamID, []Topic{{Name: "web.com.example.domain"}}, false, false, true},
		{"mdm.pem", KindMDM, "com.apple.mgmt.External.00000000-0000-0000-0000-000000000001", "", []Topic{{Name: "com.apple.mgmt.External.00000000-0000-0000-0000-000000000001"}}, false, false, true},
	} {
		t.Run(test.file, func(t *testing.T) {
			report := must(Inspect(test.file, fixture(t, test.file), ""))
			info := report.Certificate
			if info.Kind != test.kind || info.UID != test.uid || info.TeamID != test.team ||
				info.Sandbox != test.sandbox || info.Production != test.production || info.TopicsListed != test.listed {
				t.Errorf("%+v", *info)
			}
			if !reflect.DeepEqual(info.Topics, test.topics) {
				t.Errorf("topics %v, want %v", info.Topics, test.topics)
			}
			if info.DefaultTopic() != test.uid || info.NeedsTopic() != (len(test.topics) > 1) {
				t.Errorf("default topic %q, needs one: %v", info.DefaultTopic(), info.NeedsTopic())
			}
			for _, topic := range test.topics {
				if !info.CanPushTo(topic.Name) {
					t.Errorf("cannot push to %q", topic.Name)
				}
			}
			if info.CanPushTo("com.example.other") {
				t.Error("can push to another app")
			}
			if info.HasKey || info.KeyMatches || report.HasPrivateKey || report.Usable() {
				t.Error("claims to have a private key")
			}
			if len(report.Findings) == 0 || !strings.Contains(report.Findings[0].Problem, "not its private key") && !strings.Contains(report.Findings[0].Problem, "without its private key") {
				t.Errorf("findings %v", report.Findings)
			}
			if len(report.Uses) == 0 || !strings.Contains(strings.Join(report.Uses, "\n"), test.topics[0].Name) {
				t.Errorf("uses %v", report.Uses)
			}
		})
	}
}

// The strongest mark wins, and what is unknown stays unknown without an error.
func TestKindDecision(t *testing.T) {
	text := func(oid asn1.ObjectIdentifier, s string) pkix.Extension {
		return pkix.Extension{Id: oid, Value: must(asn1.Marshal(utf8String(s)))}
	}
	sandbox, production := null(oidPushSandbox), null(oidPushProduction)
	for _, test := range []struct {
		name string
		from template
		want Kind
		uid  string
	}{
		{"nothing known", template{commonName: "whatever"}, KindUnknown, ""},
		{"pass before production", template{uid: "pass.x", extensions: []pkix.Extension{production, text(oidPassType, "pass.x")}}, KindPass, "pass.x"},
		{"pass without UID", template{extensions: []pkix.Extension{text(oidPassType, "pass.y")}}, KindPass, "pass.y"},
		{"pass by name, with NFC", template{uid: "pass.x", commonName: "Pass Type ID with NFC: pass.x", extensions: []pkix.Extension{production}}, KindPass, "pass.x"},
		{"website by UID", template{uid: "web.x", extensions: []pkix.Extension{production}}, KindWebsite, "web.x"},
		{"website by mark of unknown content", template{extensions: []pkix.Extension{null(oidWebsitePush)}}, KindWebsite, ""},
		{"MDM before VoIP", template{uid: "com.apple.mgmt.External.voip", extensions: []pkix.Extension{production}}, KindMDM, "com.apple.mgmt.External.voip"},
		{"VoIP by mark", template{uid: "com.example.app", extensions: []pkix.Extension{sandbox, production, null(oidVoIP)}}, KindVoIP, "com.example.app"},
		{"VoIP by UID", template{uid: "com.example.app.voip", extensions: []pkix.Extension{sandbox, production}}, KindVoIP, "com.example.app.voip"},
		{"an app called order", template{uid: "order.com.example", commonName: "Apple Push Services: order.com.example", extensions: []pkix.Extension{sandbox, production}}, KindPushUniversal, "order.com.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			certificate, key := makeCertificate(t, test.from)
			info := must(ParseCertificate(encodePEM(t, key, certificate), "")).Info
			if info.Kind != test.want || info.UID != test.uid {
				t.Errorf("%v, UID %q", info.Kind, info.UID)
			}
		})
	}
}

// A list of topics that is not understood is no reason to refuse the file.
func TestTopicsExtension(t *testing.T) {
	good := topicsExtension([]string{"com.example.app", "app", "more"}, []string{"com.example.app.voip-ptt"})
	want := []Topic{{"com.example.app", []string{"app", "more"}}, {Name: "com.example.app.voip-ptt"}}
	if got := parseTopics(good.Value); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	for length := range good.Value {
		if got := parseTopics(good.Value[:length]); got != nil {
			t.Errorf("%d bytes of it: %v", length, got)
		}
	}
	for name, value := range map[string][]byte{
		"empty":        {},
		"null":         asn1.NullBytes,
		"odd":          must(asn1.Marshal([]asn1.RawValue{utf8String("a")})),
		"pairs":        must(asn1.Marshal([]asn1.RawValue{{FullBytes: must(asn1.Marshal([]asn1.RawValue{utf8String("a"), utf8String("b")}))}})),
		"not a list":   must(asn1.Marshal([]asn1.RawValue{utf8String("a"), utf8String("b")})),
		"not text":     must(asn1.Marshal([]asn1.RawValue{{FullBytes: asn1.NullBytes}, {FullBytes: []byte{0x30, 0}}})),
		"broken UTF-8": must(asn1.Marshal([]asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte{0xff}}, {FullBytes: []byte{0x30, 0}}})),
	} {
		certificate, key := makeCertificate(t, template{uid: "com.example.app", extensions: []pkix.Extension{null(oidPushProduction), {Id: oidTopics, Value: value}}})
		data := encodePEM(t, key, certificate)
		info := must(ParseCertificate(data, "")).Info
		if info.TopicsListed || info.NeedsTopic() || info.DefaultTopic() != "com.example.app" || !info.CanPushTo("com.example.app") {
			t.Errorf("%s: %+v", name, info)
		}
		if report := must(inspect("x.pem", data, "", testNow, newBudget())); !hasFinding(report, SeverityWarning, "list of topics could not be understood") {
			t.Errorf("%s: %v", name, report.Findings)
		}
	}
	unknown, key := makeCertificate(t, template{commonName: "whatever"})
	info := must(ParseCertificate(encodePEM(t, key, unknown), "")).Info
	if !info.CanPushTo("any.topic") || info.DefaultTopic() != "" {
		t.Error("a certificate without any topic is refused instead of left to APNs")
	}
}

func hasFinding(report *Report, severity Severity, part string) bool {
	for _, finding := range report.Findings {
		if finding.Severity == severity && strings.Contains(finding.Problem+finding.Fix, part) {
			return true
		}
	}
	return false
}

func TestDates(t *testing.T) {
	certificate, key := makeCertificate(t, template{uid: "com.example.app", days: 40, extensions: []pkix.Extension{null(oidPushProduction)}})
	data := encodePEM(t, key, certificate)
	info := must(ParseCertificate(data, "")).Info
	end := info.NotAfter
	for _, test := range []struct {
		now      time.Time
		days     int
		expired  bool
		severity Severity
		finding  string
	}{
		{end.AddDate(0, 0, -40), 40, false, "", ""},
		{end.AddDate(0, 0, -30), 30, false, "", ""},
		{end.AddDate(0, 0, -30).Add(time.Second), 29, false, SeverityWarning, "in 29 days"},
		{end.Add(-time.Second), 0, false, SeverityWarning, "in 0 days"},
		{end, 0, false, SeverityWarning, "in 0 days"},
		{end.Add(time.Second), -1, true, SeverityError, "it expired on 2026-04-10"},
		{end.AddDate(0, 0, 2), -3, true, SeverityError, "APNs refuses the connection"},
		{info.NotBefore.Add(-time.Second), 405, false, SeverityError, "check this machine's clock"},
	} {
		if info.DaysLeft(test.now) != test.days || info.Expired(test.now) != test.expired {
			t.Errorf("%v: %d days, expired %v", test.now, info.DaysLeft(test.now), info.Expired(test.now))
		}
		report := must(inspect("x.pem", data, "", test.now, newBudget()))
		switch {
		case test.severity == "" && len(report.Findings) > 0:
			t.Errorf("%v: %v", test.now, report.Findings)
		case test.severity != "" && !hasFinding(report, test.severity, test.finding):
			t.Errorf("%v: %v", test.now, report.Findings)
		}
		if report.Usable() != (test.severity != SeverityError) {
			t.Errorf("%v: usable %v", test.now, report.Usable())
		}
	}

	mdm, key := makeCertificate(t, template{uid: "com.apple.mgmt.External.1", days: -1, extensions: []pkix.Extension{null(oidPushProduction)}})
	report := must(inspect("x.pem", encodePEM(t, key, mdm), "", testNow, newBudget()))
	if !hasFinding(report, SeverityError, "every device would have to enrol again") {
		t.Errorf("%v", report.Findings)
	}
}

func TestInspectEverything(t *testing.T) {
	for _, test := range []struct {
		name, password string
		what           string
		usable         bool
		severity       Severity
		finding        string
	}{
		{"AuthKey_ABC123DEFG.p8", "", "a signing key for provider tokens (EC P-256)", true, SeverityNote, "a team id is needed"},
		{"sec1.p8", "", "a signing key for provider tokens (EC P-256)", true, SeverityNote, "the key id is not in the file"},
		{"encrypted.p8", fixturePassword, "a signing key", false, SeverityError, "a signing key is read without a password"},
		{"encrypted.p8", "", "a private key", false, SeverityError, "no password was given"},
		{"p384.p8", "", "a private key (EC P-384)", false, SeverityError, "alone it is no credential"},
		{"ed25519.p8", "", "a private key (Ed25519)", false, SeverityError, "alone it is no credential"},
		{"apns.csr", "", "a certificate signing request", false, SeverityError, "upload it in the developer portal"},
		{"public.pem", "", "a public key", false, SeverityError, "cannot sign"},
		{"apns.p7b", "", "a PKCS#7 file", false, SeverityError, "without a private key"},
		{"wwdr.pem", "", "an Apple intermediate certificate (WWDR)", false, SeverityError, "it vouches for others"},
		{"openssl3-chain.p12", fixturePassword, "a certificate: app push, sandbox and production", true, SeverityNote, "every request must name one"},
		{"nokey.p12", fixturePassword, "a certificate: app push, sandbox and production", false, SeverityError, "not its private key"},
		{"apns-both.pem", "", "a certificate: app push, sandbox and production", true, SeverityNote, "several topics"},
		{"apns-mismatch.pem", "", "a certificate: app push", false, SeverityError, "belongs to none"},
		{"pkcs8-pbes2.pem", "", "a certificate: app push", false, SeverityError, "no password was given"},
		{"pkcs8-pbes2.pem", "secret!", "a certificate: app push", false, SeverityError, "does not open it"},
		{"pkcs8-pbes2.pem", fixturePassword, "a certificate: app push", true, SeverityNote, "several topics"},
		{"apnsdev.pem", "", "a certificate: app push, sandbox only", false, SeverityNote, "refused in the sandbox"},
	} {
		t.Run(test.name+" "+test.password, func(t *testing.T) {
			report, err := Inspect(test.name, fixture(t, test.name), test.password)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(report.What, test.what) || report.Usable() != test.usable || !hasFinding(report, test.severity, test.finding) {
				t.Errorf("%+v", *report)
			}
			text := string(must(json.Marshal(report)))
			if strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, fixturePassword) {
				t.Errorf("shows a secret: %s", text)
			}
		})
	}

	report := must(Inspect("chain.pem", fixture(t, "apns-key-first-chain.pem"), ""))
	if len(report.Others) != 1 || !report.Others[0].Authority || report.Certificate.Kind != KindPushUniversal {
		t.Errorf("%+v", report)
	}
	own, key := makeCertificate(t, template{uid: "com.example.app", selfSigned: true, authority: true})
	report = must(inspect("self.pem", encodePEM(t, key, own), "", testNow, newBudget()))
	if !report.Usable() || !hasFinding(report, SeverityWarning, "signed by itself") || !hasFinding(report, SeverityWarning, "marked as an authority's") {
		t.Errorf("%+v", report.Findings)
	}

	_, err := Inspect("x.p12", fixture(t, "openssl3.p12"), "")
	if !errors.Is(err, ErrPasswordRequired) {
		t.Error(err)
	}
	for _, junk := range []string{"", "hello", "-----BEGIN NOTHING-----"} {
		if _, err := Inspect("x", []byte(junk), ""); err == nil {
			t.Errorf("%q has a report", junk)
		}
	}
	report = must(Inspect("x", []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), ""))
	if report.Usable() || report.What != "a PEM block of another kind" {
		t.Errorf("%+v", report)
	}
}

// A name in a certificate is text from a stranger and must not steer a terminal
// or forge a line in a log.
func TestNamesFromCertificatesAreHarmless(t *testing.T) {
	certificate, key := makeCertificate(t, template{
		uid: "com.example\x1b[2J", commonName: "Apple\nlevel=ERROR msg=forged",
		extensions: []pkix.Extension{topicsExtension([]string{"a\x00b", "app\r"}, []string{"c"})},
	})
	parsed := must(ParseCertificate(encodePEM(t, key, certificate), ""))
	for _, text := range []string{parsed.String(), parsed.Info.UID, parsed.Info.CommonName, parsed.Info.Topics[0].Name, parsed.Info.Topics[0].Labels[0]} {
		if strings.ContainsAny(text, "\x1b\n\r\x00") {
			t.Errorf("%q", text)
		}
	}
}

func TestKindText(t *testing.T) {
	seen := map[string]bool{}
	for kind := KindUnknown; kind <= KindMDM; kind++ {
		text := must(kind.MarshalText())
		var back Kind
		if err := back.UnmarshalText(text); err != nil || back != kind || seen[string(text)] || seen[kind.String()] {
			t.Errorf("%d: %s, %s", kind, text, kind)
		}
		seen[string(text)], seen[kind.String()] = true, true
	}
	if Kind(99).String() != KindUnknown.String() || string(must(Kind(-1).MarshalText())) != "unknown" {
		t.Error("a number that is no kind")
	}
}
