package safari_test

import (
	"fmt"

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
	// safari: /aps/url-args: it has 1 arguments, and urlFormatString has 2 placeholders; send one string for each %@, in order
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
