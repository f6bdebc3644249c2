package wallet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"aviso.example/internal/cmstest"
)

// purchase is an order without a problem.
const purchase = `{
	"schemaVersion": 1, "orderTypeIdentifier": "order.com.example.test", "orderIdentifier": "1", "orderType": "ecommerce",
	"orderManagementURL": "https://example.com/orders/1", "createdAt": "2026-07-01T20:30:00Z", "updatedAt": "2026-07-01T20:30:00Z", "status": "open",
	"merchant": {"displayName": "Example", "merchantIdentifier": "com.example.merchant", "url": "https://example.com", "logo": "logo"},
	"lineItems": [{"title": "Boat", "quantity": 1, "price": {"amount": "12.50", "currency": "EUR"}}],
	"fulfillments": [
		{"fulfillmentType": "shipping", "fulfillmentIdentifier": "a", "status": "onTheWay", "estimatedDeliveryWindowDuration": "PT2H30M", "recipient": {"address": {"countryCode": "DE"}}},
		{"fulfillmentType": "pickup", "fulfillmentIdentifier": "b", "status": "readyForPickup", "displayName": "Shop", "location": {"latitude": 0, "longitude": 0},
			"barcode": {"format": "qr", "message": "1", "messageEncoding": "utf-8"}}],
	"payment": {"total": {"amount": "12.50", "currency": "EUR"}, "summaryItems": [{"label": "Taxes", "value": {"amount": "0", "currency": "EUR"}}],
		"transactions": [{"amount": {"amount": "12.50", "currency": "EUR"}, "createdAt": "2026-07-01T20:30:00Z", "paymentMethod": {"displayName": "Card"}, "status": "completed", "transactionType": "purchase", "receipt": "receipt.pdf"}]},
	"returns": [{"returnIdentifier": "r", "status": "open", "returnLabel": "label.png"}],
	"returnInfo": {"returnPolicyURL": "https://example.com/returns"}
}`

// orderFiles are the files that purchase names.
func orderFiles() Files {
	return Files{"logo@2x.png": picture(100, 100), "receipt.pdf": []byte("%PDF-"), "label.png": picture(10, 10)}
}

func TestOrderRules(t *testing.T) {
	if problems := CheckOrder([]byte(purchase)); len(problems) > 0 {
		t.Fatal(problems)
	}
	type changes []string
	at := func(list ...string) changes { return list }
	for _, test := range []struct {
		changes changes
		want    string
	}{
		{at("schemaVersion", ""), "error schemaVersion: is missing"},
		{at("schemaVersion", "2"), "error schemaVersion: is 2"},
		{at("orderTypeIdentifier", ""), "error orderTypeIdentifier: is missing"},
		{at("orderIdentifier", "1"), "error orderIdentifier: a number where a string"},
		{at("orderType", `"shop"`), "error orderType: is not a word"},
		{at("orderManagementURL", ""), "error orderManagementURL: is missing"},
		{at("orderManagementURL", `"example"`), "warning orderManagementURL: is no absolute URL"},
		{at("status", ""), "error status: is missing"},
		{at("status", `"canceled"`), `error status: is not a word that Wallet knows (did you mean "cancelled"?)`},
		{at("createdAt", `"2026-07-01T20:30Z"`), "error createdAt: is a date without seconds"},
		{at("createdAt", `"2026-07-01T20:30:01Z"`), "error updatedAt: is before createdAt"},
		{at("updatedAt", `"today"`), "error updatedAt: is no date"},
		{at("changeNotifications", `"disabled"`), "error changeNotifications: is not a word"},
		{at("webServiceURL", `"https://example.com"`), "error authenticationToken: is missing"},
		{at("authenticationToken", `"short"`, "webServiceURL", `"https://example.com"`), "error authenticationToken: has 5 characters; 16"},
		{at("merchant", ""), "error merchant: is missing"},
		{at("merchant.displayName", ""), "error merchant.displayName: is missing"},
		{at("merchant.merchantIdentifier", ""), "error merchant.merchantIdentifier: is missing"},
		{at("merchant.url", `"example.com"`), "warning merchant.url: is no absolute URL"},
		{at("merchant.address.countryCode", `"Germany"`), "warning merchant.address.countryCode: has not the form"},
		{at("orderProvider", `{"displayName": "x", "url": "https://example.com", "trackingLogoNameDarkColorScheme": "logo"}`), "error orderProvider.trackingLogoNameLightColorScheme: is missing"},
		{at("associatedApplications", `[{"launchURL": "app:x"}]`), "error associatedApplications[0].storeIdentifier: is missing"},
		{at("barcode", `{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}`), "error barcode.format: is not a word that Wallet knows"},
		{at("barcode", `{"format": "qr", "message": "€", "messageEncoding": "iso-8859-1"}`), "error barcode.message: has characters"},
		{at("webServiceURL", `"http://localhost:8080/"`, "authenticationToken", `"0123456789abcdef"`), "error webServiceURL: begins with http, not https"},
		{at("webServiceURL", "", "authenticationToken", `"0123456789abcdef"`), "warning webServiceURL: is missing"},
		{at("lineItems[0].title", ""), "error lineItems[0].title: is missing"},
		{at("lineItems[0].quantity", ""), "error lineItems[0].quantity: is missing"},
		{at("lineItems[0].quantity", "0"), "error lineItems[0].quantity: is 0"},
		{at("lineItems[0].quantity", "-1"), "error lineItems[0].quantity: is below 0"},
		{at("lineItems[0].price.amount", `"12,50"`), "error lineItems[0].price.amount: is no decimal number"},
		{at("lineItems[0].price.currency", ""), "error lineItems[0].price.currency: is missing"},
		{at("lineItems[0].price.currencyCode", `"EUR"`), `did you mean "currency"?`},
		{at("fulfillments[0].fulfillmentType", `"drone"`), "error fulfillments[0].fulfillmentType: is not a word"},
		{at("fulfillments[0].status", `"pickedUp"`), "error fulfillments[0].status: is not a word"},
		{at("fulfillments[0].shippingType", `"post"`), "error fulfillments[0].shippingType: is not a word"},
		{at("fulfillments[0].displayName", `"x"`), "warning fulfillments[0].fulfillmentType: is shipping, and there are keys of the other type"},
		{at("fulfillments[1].carrier", `"x"`), "warning fulfillments[1].fulfillmentType: is pickup"},
		{at("fulfillments[1].displayName", ""), "error fulfillments[1].displayName: is missing"},
		{at("fulfillments[1].location.latitude", "91"), "error fulfillments[1].location.latitude: is not between"},
		{at("fulfillments[1].fulfillmentIdentifier", `"a"`), "error fulfillments[1].fulfillmentIdentifier: is the identifier of another"},
		{at("fulfillments[0].estimatedDeliveryWindowDuration", `"2h"`), "error fulfillments[0].estimatedDeliveryWindowDuration: is no duration"},
		{at("fulfillments[0].estimatedDeliveryWindowDuration", `"PT"`), "is no duration"},
		{at("fulfillments[0].recipient.address.countryCode", `"de"`), "warning fulfillments[0].recipient.address.countryCode"},
		{at("payment.total", ""), "error payment.total: is missing"},
		{at("payment.status", `"refundet"`), `did you mean "refunded"?`},
		{at("payment.summaryItems[0].value", ""), "error payment.summaryItems[0].value: is missing"},
		{at("payment.summaryItems[0].label", ""), "error payment.summaryItems[0].label: is missing"},
		{at("payment.transactions[0].amount", ""), "error payment.transactions[0].amount: is missing"},
		{at("payment.transactions[0].createdAt", ""), "error payment.transactions[0].createdAt: is missing"},
		{at("payment.transactions[0].paymentMethod", ""), "error payment.transactions[0].paymentMethod: is missing"},
		{at("payment.transactions[0].paymentMethod", "{}"), "error payment.transactions[0].paymentMethod.displayName: is missing"},
		{at("payment.transactions[0].transactionType", `"buy"`), "error payment.transactions[0].transactionType: is not a word"},
		{at("returns[0].status", `"delivered"`), "error returns[0].status: is not a word"},
		{at("returns[1]", `{"returnIdentifier": "r", "status": "open"}`), "error returns[1].returnIdentifier: is the identifier of another"},
		{at("returnInfo.returnPolicyURL", ""), "error returnInfo.returnPolicyURL: is missing"},
		{at("returnInfo.displayCountdown", "true"), "warning returnInfo.displayCountdown: has no effect"},
	} {
		problems := CheckOrder(change(t, purchase, test.changes...))
		if len(problems) != 1 {
			t.Errorf("%q: %d problems: %v; want %q", test.changes, len(problems), problems, test.want)
			continue
		}
		p := problems[0]
		if got := p.Severity.String() + " " + p.String(); !strings.Contains(got, test.want) || p.Fix == "" {
			t.Errorf("%q:\n got %s\nwant %s", test.changes, got, test.want)
		}
	}
	if p := CheckOrder([]byte("[]")); len(p) != 1 {
		t.Error(p)
	}
}

func TestOrderFolders(t *testing.T) {
	order := func(changes ...string) Files {
		files := orderFiles()
		files[fileOrder] = change(t, purchase, changes...)
		return files
	}
	plus := func(files Files, name string, data []byte) Files {
		files[name] = data
		return files
	}
	for _, test := range []struct {
		name  string
		files Files
		want  []string
	}{
		{"good", plus(order(), "de.lproj/order.strings", []byte(`"a" = "b";`)), nil},
		{"image in a language", plus(order("lineItems[0].image", `"boat"`), "de.lproj/boat.jpg", []byte("\xff\xd8")), nil},
		{"no image", order("lineItems[0].image", `"boat"`), []string{"error lineItems[0].image: names an image that is not in the package"}},
		{"with scale", order("merchant.logo", `"logo@2x.png"`), []string{"error merchant.logo: names an image with its scale (write logo,"}},
		{"with extension", order("merchant.logo", `"logo.png"`), nil},
		{"no receipt", order("payment.transactions[0].receipt", `"other.pdf"`), []string{"error payment.transactions[0].receipt: names a file that is not in the package"}},
		{"label", plus(order("returns[0].returnLabel", `"label.txt"`), "label.txt", nil), []string{"warning returns[0].returnLabel: is no PDF"}},
		{"broken image", plus(order(), "logo.png", []byte("x")), []string{"error logo.png: is no PNG"}},
		{"other strings", plus(order(), "de.lproj/pass.strings", nil), []string{"warning de.lproj/pass.strings: is not read by Wallet (name it order.strings"}},
		{"large", plus(order(), "large.bin", make([]byte, maxOrder)), []string{"error the files have 5 MB or more together"}},
		{"over 5 MB", plus(order(), "large.bin", make([]byte, 5_000_000)), []string{"error the files have 5 MB or more together"}},
		{"broken", plus(order(), fileOrder, []byte("{")), []string{"error order.json: not a JSON object"}},
		{"name", plus(order(), "/x", nil), []string{"error /x: "}},
	} {
		got := listed(test.files.Check())
		ok := len(got) == len(test.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], test.want[i])
		}
		if !ok {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

func TestSignOrder(t *testing.T) {
	files := orderFiles()
	template, err := NewOrderTemplate(signerOf(t, cmstest.Order(orderType)), files)
	if err != nil {
		t.Fatal(err)
	}
	order := must(ParseOrder(change(t, purchase, "schemaVersion", "", "orderTypeIdentifier", "")))
	p := wantGood(t, must(template.Sign(order, nil)))
	if order.SchemaVersion != 0 || p.Order == nil || p.Order.SchemaVersion != 1 || p.Order.OrderTypeIdentifier != orderType || p.Pass != nil {
		t.Errorf("%+v", p)
	}
	var manifest map[string]string
	if err := json.Unmarshal(p.Files[fileManifest], &manifest); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(files["receipt.pdf"]); manifest["receipt.pdf"] != hex.EncodeToString(sum[:]) || len(manifest) != 4 {
		t.Errorf("%s", p.Files[fileManifest])
	}

	// What is missing in the template may come with the order.
	withImage := change(t, purchase, "lineItems[0].image", `"boat"`)
	if _, err := template.SignJSON(withImage, nil); err == nil || !strings.Contains(err.Error(), "lineItems[0].image: names an image") {
		t.Error(err)
	}
	wantGood(t, must(template.SignJSON(withImage, Files{"boat@3x.png": picture(9, 9)})))

	_, err = template.SignJSON(change(t, purchase, "orderTypeIdentifier", `"order.com.example.b"`, "status", ""), Files{"large.bin": make([]byte, maxOrder)})
	for _, want := range []string{"status: is missing", "certificate: is for \"order.com.example.test\"", "5 MB or more"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, err := template.SignJSON([]byte("x"), nil); err == nil {
		t.Error("no error")
	}
	if _, err := NewOrderTemplate(nil, Files{"a.png": nil}); err == nil || !strings.Contains(err.Error(), "a.png: is empty; certificate: is missing") &&
		!strings.Contains(err.Error(), "a.png: is empty") {
		t.Error(err)
	}
}

// TestSignFolders signs what was read from a folder, passes and orders alike.
func TestSignFolders(t *testing.T) {
	pass := with(ticket, nil)
	wantGood(t, must(pass.Sign(signerOf(t, cmstest.Pass(passType)))))
	order := orderFiles()
	order[fileOrder] = []byte(purchase)
	wantGood(t, must(order.Sign(signerOf(t, cmstest.Order(orderType)))))
	for want, f := range map[string]func() ([]byte, error){
		"certificate: is missing":    func() ([]byte, error) { return pass.Sign(nil) },
		"pass.json: is missing":      func() ([]byte, error) { return icons().Sign(nil) },
		"certificate: is for \"pass": func() ([]byte, error) { return order.Sign(signerOf(t, cmstest.Pass(passType))) },
		"certificate: is for \"orde": func() ([]byte, error) { return pass.Sign(signerOf(t, cmstest.Order(orderType))) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestOrderManifestOfPasses refuses an order with the manifest of a pass.
func TestOrderManifestOfPasses(t *testing.T) {
	files := orderFiles()
	files[fileOrder] = []byte(purchase)
	files[fileManifest] = manifestOf(files)
	files[fileSignature] = must(signerOf(t, cmstest.Order(orderType)).cms.Sign(files[fileManifest]))
	v := open(t, zipped(files)).Verify(trusted())
	if len(v.Problems) != 4 || !strings.Contains(findings(v), "order.json: the manifest has its hash as SHA-1, and SHA-256 is needed") {
		t.Error(findings(v))
	}
}
