package sim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// deviceReasons reads the reasons of the device-push API from the source of
// internal/proto, so that a new one cannot be forgotten here.
func deviceReasons(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "internal", "proto", "reasons.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST || strings.Contains(gen.Doc.Text(), "broadcast") {
			continue
		}
		for _, spec := range gen.Specs {
			for _, v := range spec.(*ast.ValueSpec).Values {
				word, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, word)
			}
		}
	}
	if len(list) < 30 {
		t.Fatalf("only %d reasons found", len(list))
	}
	return list
}

// pushCertificate makes a client certificate as Apple's are made. Markers are
// "sandbox", "production" or both.
func pushCertificate(t testing.TB, uid string, topics []string, markers ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + uid, OrganizationalUnit: []string{apnstest.TeamID},
		},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(365 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if uid != "" {
		tmpl.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: uid}}
	}
	null := []byte{5, 0}
	for _, m := range markers {
		last := map[string]int{"sandbox": 1, "production": 2}[m]
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, last}, Value: null})
	}
	if topics != nil {
		var members []any
		for _, topic := range topics {
			utf8 := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(topic)}
			members = append(members, utf8, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte("app")}})
		}
		var inner []byte
		for _, m := range members {
			b, err := asn1.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			inner = append(inner, b...)
		}
		der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: inner})
		if err != nil {
			t.Fatal(err)
		}
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}, Value: der})
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dialCert connects with a certificate.
func dialCert(t testing.TB, apns *apnstest.Server, cert *tls.Certificate) *raw {
	t.Helper()
	r := dialOnly(t, apns, cert)
	r.preface()
	r.settings()
	return r
}

type reasonCase struct {
	status  string
	options []apnstest.Option
	// one of these:
	over []string                                      // fields of an otherwise good push
	run  func(t *testing.T, r *raw) response           // something longer
	away func(t *testing.T, a *apnstest.Server) string // the reason comes in GOAWAY
}

func config(set func(*sim.Config)) []apnstest.Option { return []apnstest.Option{set} }

// Every reason of the device-push API is produced, by its natural cause where
// there is one.
func TestEveryReason(t *testing.T) {
	production := config(func(c *sim.Config) { c.Environment = sim.Production })
	otherKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := func(payload string, over ...string) func(*testing.T, *raw) response {
		return func(t *testing.T, r *raw) response {
			id := r.open(over...)
			for len(payload) > 16000 {
				r.must(r.fr.WriteData(id, false, []byte(payload[:16000])))
				payload = payload[16000:]
			}
			r.must(r.fr.WriteData(id, true, []byte(payload)))
			return r.answer(id)
		}
	}
	state := func(state sim.DeviceState) func(*testing.T, *raw) response {
		return func(t *testing.T, r *raw) response {
			at := time.UnixMilli(1629907200000)
			if err := r.apns.Devices().SetState(r.apns.DeviceToken, state, at, r.apns.Now()); err != nil {
				t.Fatal(err)
			}
			a := r.answer(r.push())
			if !strings.Contains(a.body, `"timestamp":1629907200000`) {
				t.Errorf("body %s", a.body)
			}
			return a
		}
	}
	byFault := func(reason string) func(*testing.T, *raw) response {
		return func(t *testing.T, r *raw) response {
			r.apns.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto(reason)})
			return r.answer(r.push())
		}
	}
	issued := func(ago time.Duration) func(*testing.T, *raw) response {
		return func(t *testing.T, r *raw) response {
			r.bearer = "bearer " + apnstest.SignProviderToken(t, r.apns.Key, r.apns.KeyID, r.apns.TeamID, r.apns.Now().Add(-ago))
			return r.answer(r.push())
		}
	}
	sandboxKeyOnly := func(documented bool) []apnstest.Option {
		return config(func(c *sim.Config) {
			c.Environment = sim.Production
			c.Keys[0].Environments = []sim.Environment{sim.Sandbox}
			c.Guesses.DocumentedEnvironmentReason = documented
		})
	}
	cases := map[string]reasonCase{
		"BadCollapseId":          {status: "400", over: []string{"apns-collapse-id", strings.Repeat("é", 33)}},
		"BadDeviceToken":         {status: "400", over: []string{":path", "/3/device/nothex"}},
		"BadExpirationDate":      {status: "400", over: []string{"apns-expiration", "tomorrow"}},
		"BadMessageId":           {status: "400", over: []string{"apns-id", "42"}},
		"BadPriority":            {status: "400", over: []string{"apns-priority", "7"}},
		"BadTopic":               {status: "400", over: []string{"apns-topic", "com example"}},
		"DeviceTokenNotForTopic": {status: "400", over: []string{"apns-topic", "com.example.other"}},
		"DuplicateHeaders": {status: "400", run: func(t *testing.T, r *raw) response {
			id := r.next
			r.next += 2
			block := append([]byte(nil), r.headers("apns-priority", "5")...)
			r.buf.Reset()
			block = append(block, r.field("apns-priority", "10")...)
			r.must(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}))
			r.must(r.fr.WriteData(id, true, []byte(smallPayload)))
			return r.answer(id)
		}},
		"IdleTimeout":        {away: idleTimeout},
		"InvalidPushType":    {status: "400", over: []string{"apns-push-type", "carrier-pigeon"}},
		"MissingDeviceToken": {status: "400", over: []string{":path", "/3/device/"}},
		"MissingTopic":       {status: "400", over: []string{"apns-topic", ""}},
		"PayloadEmpty":       {status: "400", run: body("")},
		"TopicDisallowed": {status: "400", over: []string{"apns-topic", "com.example.other"}, options: config(func(c *sim.Config) {
			c.Topics = []string{"com.example.app"}
		})},
		"BadCertificate": {status: "403", run: func(t *testing.T, r *raw) response {
			r2 := dialCert(t, r.apns, pushCertificate(t, "", nil))
			return r2.answer(r2.push())
		}},
		"BadCertificateEnvironment": {away: func(t *testing.T, a *apnstest.Server) string {
			r := dialCert(t, a, pushCertificate(t, a.Topic, nil, "production"))
			r.push()
			first, second := r.expectGoAway(), r.expectGoAway()
			r.expectEnd()
			if first.last != 0 || first.code != http2.ErrCodeNo || second.debug != "" {
				t.Errorf("%+v, %+v", first, second)
			}
			return first.debug
		}},
		"ExpiredProviderToken": {status: "403", run: issued(61 * time.Minute)},
		"Forbidden":            {status: "403", run: byFault("Forbidden")},
		"InvalidProviderToken": {status: "403", run: func(t *testing.T, r *raw) response {
			r.bearer = "bearer " + apnstest.SignProviderToken(t, otherKey, r.apns.KeyID, r.apns.TeamID, r.apns.Now())
			return r.answer(r.push())
		}},
		"MissingProviderToken": {status: "403", over: []string{"authorization", ""}},
		"UnrelatedKeyIdInToken": {status: "403", options: config(func(c *sim.Config) {
			c.Keys = append(c.Keys, sim.Key{KeyID: "OTHERKEY11", Public: &otherKey.PublicKey})
		}), run: func(t *testing.T, r *raw) response {
			if a := r.answer(r.push()); a.status != "200" {
				t.Fatal(a)
			}
			r.bearer = "bearer " + apnstest.SignProviderToken(t, otherKey, "OTHERKEY11", r.apns.TeamID, r.apns.Now())
			return r.answer(r.push())
		}},
		"BadEnvironmentKeyIdInToken": {status: "403", options: sandboxKeyOnly(true)},
		"BadEnvironmentKeyInToken":   {status: "403", options: sandboxKeyOnly(false)},
		"BadPath":                    {status: "404", over: []string{":path", "/2/device"}},
		"MethodNotAllowed":           {status: "405", over: []string{":method", "GET"}},
		"ExpiredToken":               {status: "410", run: state(sim.Expired)},
		"Unregistered":               {status: "410", run: state(sim.Unregistered)},
		"PayloadTooLarge":            {status: "413", run: body(`"` + strings.Repeat("x", 4095) + `"`)},
		"TooManyProviderTokenUpdates": {status: "429", run: func(t *testing.T, r *raw) response {
			if a := r.answer(r.push()); a.status != "200" {
				t.Fatal(a)
			}
			return issued(time.Minute)(t, r)
		}},
		"TooManyRequests": {status: "429", options: config(func(c *sim.Config) {
			c.DeviceRate = sim.Throttle{Limit: 1, Per: time.Hour}
		}), run: func(t *testing.T, r *raw) response {
			r.answer(r.push())
			return r.answer(r.push())
		}},
		"InternalServerError": {status: "500", run: byFault("InternalServerError")},
		"ServiceUnavailable":  {status: "503", run: byFault("ServiceUnavailable")},
		"Shutdown": {away: func(t *testing.T, a *apnstest.Server) string {
			r, _ := dialRaw(t, a)
			if res := r.answer(r.push()); res.status != "200" {
				t.Fatal(res)
			}
			if err := a.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			return r.expectGoAway().debug
		}},
	}
	// Two causes of one reason that are easily confused.
	more := map[string]reasonCase{
		"BadDeviceToken of the other environment": {status: "400", options: production, run: func(t *testing.T, r *raw) response {
			if err := r.apns.Devices().Put(sim.Device{DeviceToken: deviceToken(1), Environment: sim.Sandbox}, r.apns.Now()); err != nil {
				t.Fatal(err)
			}
			return r.answer(r.push(":path", "/3/device/"+deviceToken(1)))
		}},
		"MethodNotAllowed for HEAD /":     {status: "405", over: []string{":method", "HEAD", ":path", "/"}},
		"InvalidProviderToken ahead":      {status: "403", run: issued(-2 * time.Hour)},
		"PayloadTooLarge beyond reading":  {status: "413", run: body(`"` + strings.Repeat("x", 60_000) + `"`)},
		"BadPriority background":          {status: "400", over: []string{"apns-push-type", "background", "apns-priority", "10"}},
		"InvalidPushType of a VoIP topic": {status: "400", over: []string{"apns-topic", "com.example.app.voip"}},
	}
	for _, reason := range deviceReasons(t) {
		c, ok := cases[reason]
		if !ok {
			t.Errorf("%s is never produced", reason)
			continue
		}
		t.Run(reason, func(t *testing.T) { c.check(t, reason) })
	}
	for name, c := range more {
		t.Run(name, func(t *testing.T) {
			reason, _, _ := strings.Cut(name, " ")
			c.check(t, reason)
		})
	}
}

func (c reasonCase) check(t *testing.T, reason string) {
	apns := apnstest.Start(t, c.options...)
	if c.away != nil {
		if got := c.away(t, apns); got != `{"reason":"`+reason+`"}` {
			t.Errorf("GOAWAY said %q", got)
		}
		return
	}
	r, _ := dialRaw(t, apns)
	var a response
	if c.run != nil {
		a = c.run(t, r)
	} else {
		a = r.answer(r.push(c.over...))
	}
	if a.status != c.status {
		t.Errorf("status %s, not %s", a.status, c.status)
	}
	if len(c.over) > 0 && c.over[1] == "HEAD" {
		if a.body != "" {
			t.Errorf("HEAD answered with a body %q", a.body)
		}
		return
	}
	if a.reason() != reason {
		t.Errorf("body %q", a.body)
	}
	if a.header["content-type"] != "application/json" || a.header["apns-id"] == "" {
		t.Errorf("header %v", a.header)
	}
}

func idleTimeout(t *testing.T, _ *apnstest.Server) (debug string) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		r, _ := dialRaw(t, apns)
		if a := r.answer(r.push()); a.status != "200" {
			t.Fatal(a)
		}
		start := time.Now()
		f, err := r.tryRead(3 * time.Hour)
		for err == nil {
			if g, ok := f.(*http2.GoAwayFrame); ok {
				debug = string(g.DebugData())
				break
			}
			f, err = r.tryRead(3 * time.Hour)
		}
		if got := time.Since(start); got != 2*time.Hour {
			t.Errorf("idle for %v", got)
		}
		r.expectEnd()
	})
	return debug
}
