package wallet

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Passes without a problem, to make problems in.
const (
	top = `"formatVersion": 1, "passTypeIdentifier": "pass.com.example.test", "serialNumber": "1",
		"teamIdentifier": "A1B2C3D4E5", "organizationName": "Example", "description": "A pass"`
	ticket  = `{` + top + `, "eventTicket": {"headerFields": [], "primaryFields": [{"key": "event", "value": "Concert"}], "auxiliaryFields": [{"key": "seat", "value": "1"}], "backFields": [{"key": "terms", "value": "…"}]}}`
	flight  = `{` + top + `, "boardingPass": {"transitType": "PKTransitTypeAir", "primaryFields": [{"key": "from", "value": "BER"}, {"key": "to", "value": "JFK"}]}}`
	generic = `{` + top + `, "generic": {"primaryFields": [{"key": "name", "value": "Ada"}]}}`
	card    = `{` + top + `, "storeCard": {"primaryFields": [{"key": "balance", "value": 0}]}}`
	poster  = `{` + top + `, "preferredStyleSchemes": ["posterEventTicket", "eventTicket"], "eventTicket": {},
		"nfc": {"message": "1", "encryptionPublicKey": "` + uncompressedKey + `", "requiresAuthentication": false},
		"semantics": {"eventName": "a", "venueName": "b", "venueRegionName": "c", "venueRoom": "d", "eventStartDate": "2026-07-01T20:30Z", "seats": [{"seatRow": "1"}]}}`
	boarding = `{` + top + `, "preferredStyleSchemes": ["semanticBoardingPass", "boardingPass"], "boardingPass": {"transitType": "PKTransitTypeAir"},
		"semantics": {"airlineCode": "EX", "flightNumber": 7, "departureAirportCode": "BER", "destinationAirportCode": "JFK", "departureCityName": "Berlin", "destinationCityName": "New York",
		"departureLocationTimeZone": "Europe/Berlin", "departureAirportTimeZone": "Europe/Berlin", "destinationLocationTimeZone": "America/New_York", "destinationAirportTimeZone": "America/New_York",
		"originalArrivalDate": "2026-07-01T20:30Z", "originalBoardingDate": "2026-07-01T11:30Z", "originalDepartureDate": "2026-07-01T12:30Z", "passengerName": {"givenName": "Ada"}, "seats": [{"seatNumber": "1A"}]}}`

	uncompressedKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
)

// put sets the value at a key path, and makes what is missing on the way. An
// empty value removes the key.
func put(t testing.TB, root any, path string, raw string) any {
	t.Helper()
	var value any
	if raw != "" {
		if err := json.Unmarshal([]byte(raw), &value); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	steps := regexp.MustCompile(`[^.\[\]]+`).FindAllString(path, -1)
	var set func(node any, steps []string) any
	set = func(node any, steps []string) any {
		if len(steps) == 0 {
			return value
		}
		if index, err := strconv.Atoi(steps[0]); err == nil {
			list, _ := node.([]any)
			for len(list) <= index {
				list = append(list, nil)
			}
			list[index] = set(list[index], steps[1:])
			return list
		}
		object, ok := node.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		if len(steps) == 1 && raw == "" {
			delete(object, steps[0])
		} else {
			object[steps[0]] = set(object[steps[0]], steps[1:])
		}
		return object
	}
	return set(root, steps)
}

// change makes JSON of a pass with other values at some paths.
func change(t testing.TB, base string, changes ...string) []byte {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(base), &root); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		root = put(t, root, changes[i], changes[i+1])
	}
	data, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func repeat(n int, format string) string {
	var parts []string
	for i := range n {
		if strings.Contains(format, "%") {
			parts = append(parts, fmt.Sprintf(format, i))
		} else {
			parts = append(parts, format)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func TestGoodPasses(t *testing.T) {
	for _, pass := range []string{ticket, flight, generic, card, poster, boarding} {
		if problems := CheckPass([]byte(pass)); len(problems) > 0 {
			t.Errorf("%v in %s", problems, pass)
		}
	}
}

// TestPassRules has a row for every rule.
func TestPassRules(t *testing.T) {
	checkRules(t, []passRule{
		// Top level.
		{ticket, at("formatVersion", ""), "error formatVersion: is missing"},
		{ticket, at("formatVersion", "0"), "error formatVersion: is 0"},
		{ticket, at("formatVersion", "2"), "error formatVersion: is 2; there is only 1"},
		{ticket, at("formatVersion", `"1"`), "error formatVersion: a string where a number"},
		{ticket, at("passTypeIdentifier", ""), "error passTypeIdentifier: is missing"},
		{ticket, at("passTypeIdentifier", `"com.example.test"`), "warning passTypeIdentifier: does not begin with pass."},
		{ticket, at("serialNumber", `""`), "error serialNumber: is empty"},
		{ticket, at("serialNumber", "17"), "error serialNumber: a number where a string"},
		{ticket, at("teamIdentifier", `"Example"`), "warning teamIdentifier: has not the form"},
		{ticket, at("teamIdentifier", ""), "error teamIdentifier: is missing"},
		{ticket, at("organizationName", ""), "error organizationName: is missing"},
		{ticket, at("description", ""), "error description: is missing"},
		{ticket, at("Description", `"x"`), `warning Description: is not a key that Apple documents here; Wallet ignores it (did you mean "description"?)`},
		{ticket, at("venueName", `"x"`), "(it belongs into semantics)"},
		{ticket, at("primaryFields", `[]`), "(it belongs into the style"},
		{ticket, at("xyzzy", `{"a": [1]}`), "warning xyzzy: is not a key"},
		{ticket, at("logoText", "null"), "warning logoText: is null"},
		{ticket, at("maxDistance", `"500"`), "error maxDistance: a string where a number is expected (write it without quotes)"},
		{ticket, at("maxDistance", "0"), "warning maxDistance: leaves no place"},
		{ticket, at("voided", "1"), "error voided: a number where true or false"},
		{ticket, at("appLaunchURL", `"app:x"`), "warning appLaunchURL: has no effect without"},
		{ticket, at("sellURL", `"example.com/sell"`), "warning sellURL: is no absolute URL"},
		{card, at("groupingIdentifier", `"g"`), "warning groupingIdentifier: groups boarding passes and event tickets only"},

		// Web service.
		{ticket, at("authenticationToken", `"0123456789abcdef"`), "error webServiceURL: is missing"},
		{ticket, at("webServiceURL", `"https://example.com"`), "error authenticationToken: is missing"},
		{ticket, at("webServiceURL", `"https://example.com"`, "authenticationToken", `"0123456789abcde"`), "error authenticationToken: has 15 characters; 16"},
		{ticket, at("webServiceURL", `"example.com"`, "authenticationToken", `"0123456789abcdef"`), "error webServiceURL: is no absolute URL"},
		{ticket, at("webServiceURL", `"http://example.com"`, "authenticationToken", `"0123456789abcdef"`), "error webServiceURL: begins with http, not https"},
		{ticket, at("webServiceURL", `"http://192.168.1.2:8080"`, "authenticationToken", `"0123456789abcdef"`), "warning webServiceURL: begins with http"},
		{ticket, at("webServiceURL", `"http://mac.local/x"`, "authenticationToken", `"0123456789abcdef"`), "warning webServiceURL: begins with http"},
		{ticket, at("webServiceURL", `"ftp://example.com"`, "authenticationToken", `"0123456789abcdef"`), "error webServiceURL: does not begin with https"},
		{ticket, at("webServiceURL", `"https://example.com/?a"`, "authenticationToken", `"0123456789abcdef"`), "warning webServiceURL: has a query"},
		{ticket, at("webServiceURL", `"https://example.com/v1/"`, "authenticationToken", `"0123456789abcdef"`), "warning webServiceURL: ends with /v1"},

		// Styles.
		{ticket, at("eventTicket", ""), "error : has no style"},
		{ticket, at("eventTicket", "null"), "has no style"},
		{ticket, at("eventTicket", "[]"), "error eventTicket: an array where an object"},
		{ticket, at("coupon", "{}"), "error eventTicket: is a second style beside coupon"},
		{generic, at("generic", "", "posterGeneric", "{}"), "warning posterGeneric: is the only style"},
		{flight, at("boardingPass.transitType", ""), "error boardingPass.transitType: is missing"},
		{flight, at("boardingPass.transitType", `"PKTransitTypeShip"`), "error boardingPass.transitType: is not a word"},
		{flight, at("boardingPass.transitType", `"Air"`), `(did you mean "PKTransitTypeAir"?)`},
		{ticket, at("eventTicket.transitType", `"PKTransitTypeAir"`), "error eventTicket.transitType: belongs to boarding passes only"},

		// How many fields.
		{ticket, at("eventTicket.headerFields", repeat(4, `{"key": "k%d", "value": 1}`)), "warning eventTicket.headerFields: has 4 fields; Wallet draws 3"},
		{ticket, at("eventTicket.primaryFields", repeat(2, `{"key": "k%d", "value": 1}`)), "warning eventTicket.primaryFields: has 2 fields; Wallet draws 1"},
		{flight, at("boardingPass.auxiliaryFields", repeat(6, `{"key": "k%d", "value": 1}`)), "warning boardingPass.auxiliaryFields: has 6 fields; Wallet draws 5"},
		{card, at("storeCard.secondaryFields", repeat(3, `{"key": "k%d", "value": 1}`), "storeCard.auxiliaryFields", repeat(2, `{"key": "l%d", "value": 1}`)), "warning storeCard.auxiliaryFields: make 5 fields with both lists together; Wallet draws one row of 4 on storeCard: 3 secondary and 1 auxiliary"},
		{card, at("storeCard.secondaryFields", repeat(5, `{"key": "k%d", "value": 1}`), "storeCard.auxiliaryFields", repeat(5, `{"key": "l%d", "value": 1}`)), "warning storeCard.auxiliaryFields: make 10 fields with both lists together; Wallet draws one row of 4 on storeCard: 4 secondary and 0 auxiliary"},
		{generic, at("barcodes", `[{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8"}]`, "generic.secondaryFields", repeat(3, `{"key": "k%d", "value": 1}`), "generic.auxiliaryFields", repeat(2, `{"key": "l%d", "value": 1}`)), ""},
		{ticket, at("eventTicket.auxiliaryFields", repeat(5, `{"key": "k%d", "value": 1, "row": 1}`)), "warning eventTicket.auxiliaryFields: has 5 fields in row 1; Wallet draws 4"},
		{generic, at("posterGeneric.secondaryFields", `[{"key": "k", "value": 1}]`), "warning posterGeneric.secondaryFields: are not drawn on posterGeneric"},
		{generic, at("generic.footerFields", `[{"key": "k", "value": 1}]`), "warning generic.footerFields: are not drawn"},
		{generic, at("generic.additionalInfoFields", `[{"key": "k", "value": 1}]`), "warning generic.additionalInfoFields: belong to poster"},

		// Fields.
		{ticket, at("eventTicket.primaryFields[0].key", ""), "error eventTicket.primaryFields[0].key: is missing"},
		{ticket, at("eventTicket.primaryFields[0].value", ""), "error eventTicket.primaryFields[0].value: is missing"},
		{ticket, at("eventTicket.primaryFields[0].value", "null"), "error eventTicket.primaryFields[0].value: is missing"},
		{ticket, at("eventTicket.primaryFields[0].value", "true"), "error eventTicket.primaryFields[0].value: true or false where"},
		{ticket, at("eventTicket.backFields[0].key", `"event"`), "error eventTicket.backFields[0].key: is the key of another field, in primaryFields"},
		{ticket, at("eventTicket.primaryFields[0].textAlignment", `"PKTextAlignmentLeft"`), "warning eventTicket.primaryFields[0].textAlignment: has no effect in primaryFields"},
		{ticket, at("eventTicket.auxiliaryFields[0].textAlignment", `"center"`), `error eventTicket.auxiliaryFields[0].textAlignment: is not a word that Wallet knows (did you mean "PKTextAlignmentCenter"?)`},
		{ticket, at("eventTicket.auxiliaryFields[0].row", "2"), "error eventTicket.auxiliaryFields[0].row: is 2"},
		{ticket, at("eventTicket.backFields[0].row", "0"), "warning eventTicket.backFields[0].row: has an effect in auxiliaryFields"},
		{ticket, at("eventTicket.backFields[0].dataDetectorTypes", `["PKDataDetectorTypeLinks"]`), "error eventTicket.backFields[0].dataDetectorTypes[0]: is not a word"},
		{ticket, at("eventTicket.primaryFields[0].dataDetectorTypes", `[]`), "warning eventTicket.primaryFields[0].dataDetectorTypes: has an effect in backFields only"},
		{ticket, at("eventTicket.primaryFields[0].changeMessage", `"Changed"`), "warning eventTicket.primaryFields[0].changeMessage: has no %@"},
		{ticket, at("eventTicket.primaryFields[0].dateStyle", `"PKDateStyleFull"`), "error eventTicket.primaryFields[0].value: is no date"},
		{ticket, at("eventTicket.primaryFields[0].timeStyle", `"PKDateStyleFull"`, "eventTicket.primaryFields[0].value", "5"), "error eventTicket.primaryFields[0].value: is a number, and timeStyle needs a date"},
		{ticket, at("eventTicket.primaryFields[0].dateStyle", `"Full"`, "eventTicket.primaryFields[0].value", `"2026-07-01T20:30Z"`), "error eventTicket.primaryFields[0].dateStyle: is not a word"},
		{ticket, at("eventTicket.primaryFields[0].dateStyle", `"PKDateStyleFull"`, "eventTicket.primaryFields[0].value", `"2026-07-01T20:30"`), "is no date that Wallet can read: the zone is missing, and dateStyle needs one"},
		{ticket, at("eventTicket.primaryFields[0].isRelative", "true"), "warning eventTicket.primaryFields[0].isRelative: has no effect without"},
		{ticket, at("eventTicket.primaryFields[0].numberStyle", `"PKNumberStylePercent"`), "error eventTicket.primaryFields[0].value: is a text, and numberStyle needs a number"},
		{ticket, at("eventTicket.primaryFields[0].currencyCode", `"EUR"`, "eventTicket.primaryFields[0].value", `"5.00"`), "(write the number without quotes)"},
		{card, at("storeCard.primaryFields[0].currencyCode", `"EUR"`, "storeCard.primaryFields[0].numberStyle", `"PKNumberStylePercent"`), "warning storeCard.primaryFields[0].numberStyle: stands beside currencyCode"},
		{card, at("storeCard.primaryFields[0].currencyCode", `"euro"`), "warning storeCard.primaryFields[0].currencyCode: has not the form"},
		{ticket, at("eventTicket.backFields[0].attributedValue", `"<a href='https://example.com'>a</a> <b>b</b>"`), "warning eventTicket.backFields[0].attributedValue: has other markup"},
		{ticket, at("eventTicket.backFields[0].lable", `"x"`), `(did you mean "label"?)`},

		// Colours and dates.
		{ticket, at("labelColor", `"red"`), "error labelColor: is no colour"},
		{ticket, at("semantics.seats[0].seatSectionColor", `"red"`), "error semantics.seats[0].seatSectionColor: is no colour"},
		{ticket, at("expirationDate", `"2020-08-25T15:03:03Z"`), "warning expirationDate: is past"},
		{generic, at("locations", `[{"latitude": 1, "longitude": 1}]`, "relevantDate", `"2020-04-05T20:00Z"`), "warning relevantDate: is past"},
		{flight, at("relevantDate", `"2020-04-05T20:00Z"`), "warning relevantDate: is past; Wallet puts a pass among the expired ones a day after it"},
		{ticket, at("relevantDate", `"2020-04-05T20:00Z"`, "relevantDates", `[{"startDate": "2020-04-05T20:00Z", "endDate": "2020-04-06T20:00Z"}]`), "warning relevantDates[0]: is past"},
		{ticket, at("relevantDate", `"2096-07-02T20:00Z"`, "expirationDate", `"2096-07-01T20:00Z"`), "warning expirationDate: is before relevantDate"},
		{ticket, at("expirationDate", `"2096-08-25T15:03:03.000Z"`), "warning expirationDate: has a fraction of a second"},
		{ticket, at("expirationDate", `"2026-07-01"`), "error expirationDate: is no date that Wallet can read: the time and the zone are missing"},
		{ticket, at("expirationDate", `"2026-07-01T20:30:00+0200"`), "the zone needs a colon"},
		{ticket, at("expirationDate", `"2026-07-01 20:30:00Z"`), "there is no T"},
		{ticket, at("expirationDate", `"1751401800"`), "a number of seconds"},
		{ticket, at("semantics.venueOpenDate", `"soon"`), "error semantics.venueOpenDate: is no date"},
		{ticket, at("relevantDate", `"2096-07-01T20:30Z"`, "relevantDates", `[{}]`), "error relevantDates[0].date: is missing"},
		{ticket, at("relevantDate", `"2096-07-01T20:30Z"`, "relevantDates", `[{"startDate": "2096-07-01T20:30Z"}]`), "error relevantDates[0].endDate: is missing"},
		{ticket, at("relevantDate", `"2096-07-01T20:30Z"`, "relevantDates", `[{"endDate": "2096-07-01T20:30Z"}]`), "error relevantDates[0].startDate: is missing"},
		{ticket, at("relevantDate", `"2096-07-01T20:30Z"`, "relevantDates", `[{"startDate": "2096-07-01T20:30Z", "endDate": "2096-07-01T20:30+01:00"}]`), "error relevantDates[0].endDate: is before the start"},
		{ticket, at("relevantDate", `"2096-07-01T20:30Z"`, "relevantDates", `[{"date": "2096-07-01T20:30Z", "startDate": "2096-07-01T20:30Z", "endDate": "2096-07-01T20:40Z"}]`), "warning relevantDates[0].date: stands beside a period"},
		{ticket, at("relevantDates", `[{"date": "2096-07-01T20:30Z"}]`), "warning relevantDates: is read from iOS 18 on"},
		{card, at("relevantDate", `"2096-07-01T20:30Z"`), "warning relevantDate: has no effect on coupons"},
		{generic, at("relevantDates", `[{"date": "2096-07-01T20:30Z"}]`), "warning relevantDates: has no effect on generic passes without locations"},

		// Places.
		{ticket, at("locations", repeat(11, `{"latitude": 0, "longitude": 0}`)), "error locations: has 11 entries; 10"},
		{ticket, at("locations", `[{"latitude": 0}]`), "error locations[0].longitude: is missing"},
		{ticket, at("locations", `[{"latitude": 91, "longitude": -180}]`), "error locations[0].latitude: is not between -90 and 90"},
		{ticket, at("locations", `[{"latitude": "1", "longitude": 0}]`), "error locations[0].latitude: a string where a number"},
		{ticket, at("semantics.venueLocation", `{"latitude": 1}`), "error semantics.venueLocation.longitude: is missing"},
		{ticket, at("beacons", repeat(11, `{"proximityUUID": "00000000-0000-0000-0000-%012d"}`)), "error beacons: has 11 different UUIDs"},
		{ticket, at("beacons", `[{"proximityUUID": "x"}]`), "error beacons[0].proximityUUID: is no UUID"},
		{ticket, at("beacons", `[{"major": 1}]`), "error beacons[0].proximityUUID: is missing"},
		{ticket, at("beacons", `[{"proximityUUID": "00000000-0000-0000-0000-000000000000", "minor": 65536}]`), "error beacons[0].minor: has to be a whole number from 0 to 65535"},
	})
}

// passRule is a good pass with something changed, and the only problem that this
// makes: severity, path and part of the message; "" if there is none.
type passRule struct {
	base    string
	changes []string
	want    string
}

// at lists paths and values; see put.
func at(list ...string) []string { return list }

func checkRules(t *testing.T, rules []passRule) {
	t.Helper()
	for _, test := range rules {
		problems := CheckPass(change(t, test.base, test.changes...))
		// null is a problem of its own beside what it leads to.
		if n := len(problems); n == 2 && problems[1].Message == "is null, which counts as absent" {
			problems = problems[:1]
		}
		if test.want == "" && len(problems) == 0 {
			continue
		}
		if len(problems) != 1 {
			t.Errorf("%q: %d problems: %v; want %q", test.changes, len(problems), problems, test.want)
			continue
		}
		p := problems[0]
		if got := fmt.Sprintf("%s %s: %s (%s)", p.Severity, p.Path, p.Message, p.Fix); !strings.Contains(got, test.want) || p.Fix == "" {
			t.Errorf("%q:\n got %s\nwant %s", test.changes, got, test.want)
		}
	}
}

func TestCheckPassReportsAll(t *testing.T) {
	problems := CheckPass([]byte(`{"formatVersion": 1, "formatVersion": 3, "serialNumber": 5, "generic": {"primaryFields": [{"label": "x", "row": 3}]}}`))
	var got []string
	for _, p := range problems {
		got = append(got, p.Severity.String()+" "+p.Path)
	}
	want := []string{
		"error formatVersion", "error serialNumber", "error formatVersion", "error passTypeIdentifier", "error teamIdentifier", "error organizationName",
		"error description", "error generic.primaryFields[0].key", "error generic.primaryFields[0].value", "error generic.primaryFields[0].row",
		"warning generic.primaryFields[0].row",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := problems.Err(); err == nil || !strings.HasPrefix(err.Error(), "wallet: formatVersion: the key occurs") {
		t.Error(err)
	}
	if problems.Warnings().Err() != nil || len(problems.Warnings()) != 1 {
		t.Error("warnings are no error")
	}
	for _, bad := range []string{"", "[]", "{", "\"x\""} {
		if p := CheckPass([]byte(bad)); len(p) != 1 || p[0].Severity != Error {
			t.Errorf("%q: %v", bad, p)
		}
	}
}

// TestHostileKeys bounds what somebody's pass.json can make us say, and how.
func TestHostileKeys(t *testing.T) {
	problems := CheckPass([]byte(`{"a\nerror: forged": 1, "\u001b[31m": 1, "` + strings.Repeat("k", 5000) + `": 1, "generic": {"x\"": 1}}`))
	for _, p := range problems {
		if strings.ContainsAny(p.Path, "\n\x1b") || len(p.Path) > 200 {
			t.Errorf("%q", p.Path)
		}
	}
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf(`"venueNam%d": 1, "serialNumber": 1`, i))
	}
	if problems := CheckPass([]byte("{" + strings.Join(many, ",") + "}")); len(problems) > 2*maxProblems+1 || !strings.Contains(fmt.Sprint(problems), "there are more problems") {
		t.Errorf("%d problems", len(problems))
	}
	if _, err := ParsePass([]byte(`{"locations": ` + repeat(5000, "1") + `}`)); len(err.(*InvalidError).Problems) != maxProblems {
		t.Error(len(err.(*InvalidError).Problems))
	}
}

// TestValidateInGo checks what can go wrong in Go only.
func TestValidateInGo(t *testing.T) {
	pass, err := ParsePass([]byte(ticket))
	if err != nil {
		t.Fatal(err)
	}
	pass.Description = "\xff"
	pass.EventTicket.PrimaryFields[0].Value = Text("a\xff")
	pass.Semantics = &SemanticTags{ArtistIDs: []string{"1", "\xff"}}
	pass.Extra = Extra{"newer": json.RawMessage("1"), "logoText": json.RawMessage("{")}
	var got []string
	for _, p := range pass.Validate() {
		got = append(got, p.String())
	}
	want := []string{
		"description: is not UTF-8 (convert the text to UTF-8)",
		"eventTicket.primaryFields[0].value: is not UTF-8 (convert the text to UTF-8)",
		"semantics.artistIDs[1]: is not UTF-8 (convert the text to UTF-8)",
		"logoText: is no JSON (put JSON into Extra)",
		"newer: is not a key that Apple documents here; Wallet ignores it (nothing, if it is newer than this program)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEveryWordIsAccepted takes all of Apple's words through the checks.
func TestEveryWordIsAccepted(t *testing.T) {
	pass, err := ParsePass([]byte(boarding))
	if err != nil {
		t.Fatal(err)
	}
	s := pass.Semantics
	s.PassengerCapabilities, s.PassengerServiceSSRs, s.PassengerInformationSSRs = capabilities, serviceSSRs, informationSSRs
	s.PassengerEligibleSecurityPrograms, s.DepartureLocationSecurityPrograms, s.DestinationAirportSecurityPrograms = securityPrograms, securityPrograms, securityPrograms
	s.BothSpellings()
	for typ, w := range words {
		if len(w.known) < 3 {
			t.Errorf("%v: %q", typ, w.known)
		}
	}
	if problems := pass.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}
