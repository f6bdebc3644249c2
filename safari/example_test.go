package safari_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"aviso.example/internal/cmstest"
	"aviso.example/payload"
	"aviso.example/safari"
)

// A notification that Safari shows has as many url-args as the site's
// urlFormatString has placeholders.
func ExampleCheckURLArgs() {
	const urlFormatString = "https://www.example.com/%@/?flight=%@"
	notification, err := payload.Website{
		Title: "Flight A998 Now Boarding", Body: "Boarding has begun.",
		URLArgs: []string{"boarding"},
	}.JSON()
	if err != nil {
		panic(err)
	}
	fmt.Println(safari.CheckURLArgs(urlFormatString, notification))
	// Output:
	// safari: /aps/url-args: it has 1 argument, and urlFormatString has 2 placeholders; send one string for each %@, in order
}

// Everything wrong with website.json is reported at once.
func ExampleParseWebsite() {
	_, err := safari.ParseWebsite([]byte(`{
		"websiteName": "Example News",
		"websitePushID": "web.com.example.news",
		"allowedDomains": ["https://www.example.com/"],
		"urlFormatString": "https://www.example.com/%20/%@",
		"authenticationToken": "short",
		"webServiceURL": "https://push.example.com/"
	}`))
	fmt.Println(err)
	// Output:
	// safari: 4 problems:
	//   website.json#allowedDomains/0: an origin has nothing after the host, not even a slash; write scheme and host only, such as https://www.example.com
	//   website.json#urlFormatString: the per cent sign at byte 25 begins neither %@ nor %%; write %% for a per cent sign, also in escapes: %%20
	//   website.json#authenticationToken: it has 5 characters, and at least 16 are needed; use a long random text
	//   website.json#webServiceURL: it ends with a slash; leave the slash out; it must be the very text that the page passes to requestPermission
}

// A website serves a package to whoever its own session says the visitor is.
func ExampleService() {
	// Scaffolding: icons, and a certificate that looks like Apple's.
	icons := map[string][]byte{}
	for name, pixels := range safari.IconSizes() {
		var icon bytes.Buffer
		if err := png.Encode(&icon, image.NewGray(image.Rect(0, 0, pixels, pixels))); err != nil {
			panic(err)
		}
		icons[name] = icon.Bytes()
	}
	apple := cmstest.Apple()
	identity := apple.Issue(cmstest.Website("web.com.example.news"))

	builder, err := safari.NewBuilder(safari.BuilderConfig{
		Source: safari.Source{Icons: icons, Website: safari.Website{
			WebsiteName: "Example News", WebsitePushID: "web.com.example.news",
			AllowedDomains:  []string{"https://www.example.com"},
			URLFormatString: "https://www.example.com/%@",
			WebServiceURL:   "https://push.example.com/safari",
		}},
		Certificate: identity.Certificate, Key: identity.Key,
		Intermediates: []*x509.Certificate{apple.WWDR.Certificate},
	})
	if err != nil {
		panic(err)
	}
	service, err := safari.NewService(safari.ServiceConfig{
		Builders: []*safari.Builder{builder},
		Users: &safari.SignedUsers{
			Secrets: [][]byte{[]byte("32 bytes, from a file in practice")},
			User: func(_ context.Context, _ string, userInfo json.RawMessage) (string, error) {
				if string(userInfo) != `{"session":"of Ada"}` {
					return "", safari.ErrRefused
				}
				return "ada", nil
			},
		},
		Store: &safari.MemoryStore{},
	})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(http.StripPrefix("/safari", service))
	defer server.Close()

	// What Safari does.
	answer, err := server.Client().Post(server.URL+"/safari/v2/pushPackages/web.com.example.news", "application/json",
		strings.NewReader(`{"session":"of Ada"}`))
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	zip, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	p, err := safari.Verify(bytes.NewReader(zip), int64(len(zip)), safari.VerifyConfig{Roots: []*x509.Certificate{apple.Root.Certificate}})
	fmt.Println(answer.Status, answer.Header.Get("Content-Type"), err)
	fmt.Println(p.Website, p.Version, p.Trusted)
	// Output:
	// 200 OK application/zip <nil>
	// website web.com.example.news (Example News) v2 true
}
