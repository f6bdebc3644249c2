package apns_test

import (
	"strings"
	"testing"

	"aviso.example/apns"
)

// What people give in place of a device token is told by the whole of it, wherever the
// first wrong character stands. Nothing of it is repeated.
func TestWhatLooksLikeADeviceToken(t *testing.T) {
	const hex = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"
	for given, want := range map[string]string{
		"oLHC0+T1BhcoOUpbbH2On6Cxws/k9QYXKDlKW2x9jp8=":                      "base64",
		"oLHC0-T1BhcoOUpbbH2On6Cxws_k9QYXKDlKW2x9jp8":                       "base64",
		"fGh3kL_0Qx2:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx_abcdefghijklmnop": "Firebase",
		"{length = 32, bytes = 0xa0b1c2d3 e4f50617 ... 6c7d8e9f }":          "since iOS 13",
		"32 bytes":                          "what Swift prints of a Data",
		"<" + hex[:8] + " " + hex[8:] + ">": "NSData: remove spaces",
		"0x" + hex:                          "remove 0x",
		`Optional("` + hex + `")`:           "Swift optional",
		`"` + hex + `"`:                     "with quotes or blanks around it",
		hex + "\n":                          "with quotes or blanks around it",
		"ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]": "Expo",
		"null": "a program has for nothing", "undefined": "a program has for nothing", "(null)": "a program has for nothing",
		"6f1c2d3e-0b1a-4c5d-8e9f-a0b1c2d3e4f5":                "UUID",
		"https://web.push.apple.com/QOXiPyWYzyFGBSmlhAdgUKAZ": "Web Push",
		"token:" + hex: "a name before it", "apns:" + hex: "a name before it",
		"O" + hex[1:]: "O in place of 0", hex + "," + hex: "several device tokens", "[" + hex + "]": "in brackets", "%3C" + hex + "%3E": "part of a URL",
		hex[:12] + "…": "cut for display", hex[:12] + "...": "cut for display", "[object Object]": "JavaScript", "<device-token>": "a placeholder",
		"xyz": "hexadecimal digits only", " ": "hexadecimal digits only",
	} {
		p := apns.CheckDeviceToken(given)
		if p == nil || !strings.Contains(p.Message, want) || len(given) > 8 && strings.Contains(p.Message, given[len(given)-8:]) {
			t.Errorf("%q: %v, want %q", given, p, want)
		}
	}
	for _, good := range []string{hex, strings.ToUpper(hex), hex + hex + hex[:32]} {
		if p := apns.CheckDeviceToken(good); p != nil {
			t.Errorf("%q: %v", good, p)
		}
	}
}
