package passview

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// list makes fields k0, k1, … whose values are those letters.
func list(letter string, n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`{"key":"%s%d","label":"l","value":"%[1]s%[2]d"}`, letter, i))
	}
	return "[" + strings.Join(fields, ",") + "]"
}

// The rows are those that phones draw.
func TestRows(t *testing.T) {
	const qr = `,"barcodes":[{"format":"PKBarcodeFormatQR","message":"1","messageEncoding":"utf-8"}]`
	for name, test := range map[string]struct {
		style                string
		secondary, auxiliary int
		more, want           string
	}{
		"generic":              {"generic", 2, 2, "", "s0 s1|a0 a1"},
		"generic, square code": {"generic", 2, 2, qr, "s0 s1|a0 a1"},
		"store card":           {"storeCard", 2, 4, "", "s0 s1 a0 a1"},
		"store card, QR":       {"storeCard", 3, 5, qr, "s0 s1 s2 a0"},
		"store card, full":     {"storeCard", 5, 5, "", "s0 s1 s2 s3"},
		"coupon":               {"coupon", 1, 1, qr, "s0 a0"},
		"event ticket":         {"eventTicket", 5, 2, "", "s0 s1 s2 s3|a0 a1"},
		"event ticket, five":   {"eventTicket", 0, 5, "", "a0 a1 a2 a3"},
		"boarding pass":        {"boardingPass", 2, 2, "", "a0 a1|s0 s1"},
	} {
		v, err := New([]byte(`{"`+test.style+`":{"secondaryFields":`+list("s", test.secondary)+`,"auxiliaryFields":`+list("a", test.auxiliary)+`}`+test.more+`}`), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, row := range v.rows() {
			var texts []string
			for _, f := range row {
				texts = append(texts, f.text())
			}
			rows = append(rows, strings.Join(texts, " "))
		}
		if got := strings.Join(rows, "|"); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// The first header field is at the right, and what there is no room for are the last.
func TestHeaderOrder(t *testing.T) {
	v, err := New([]byte(`{"generic":{"headerFields":`+list("h", 4)+`}}`), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := v.HTML(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if !(strings.Index(page, ">h2<") < strings.Index(page, ">h1<") && strings.Index(page, ">h1<") < strings.Index(page, ">h0<")) || strings.Contains(page[:strings.Index(page, "</header>")], ">h3<") {
		t.Error(page[strings.Index(page, "<header>"):strings.Index(page, "</header>")])
	}
}

// From and to are of one size in which neither is cut, and their labels in capitals.
func TestJourney(t *testing.T) {
	for _, test := range []struct {
		from, to string
		size     int
	}{{"BER", "JFK", 46}, {"Wien Westbahnhof", "Graz", 14}, {"LONG TEXT LONG TEXT LONG TEXT", "BB", 12}} {
		v, err := New([]byte(`{"boardingPass":{"transitType":"PKTransitTypeTrain","primaryFields":[{"key":"a","label":"From","value":"`+test.from+`"},{"key":"b","label":"To","value":"`+test.to+`"}]}}`), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := v.journeySize(); got != test.size {
			t.Errorf("%s: %d, want %d", test.from, got, test.size)
		}
		var out strings.Builder
		if err := v.HTML(&out); err != nil || !strings.Contains(out.String(), fmt.Sprintf(`style="--size: %dpx"`, test.size)) {
			t.Error(err)
		}
		if err := v.PNG(new(strings.Builder), 1, Light); err != nil {
			t.Error(err)
		}
		for _, note := range v.Notes() {
			if strings.Contains(note, "Wien") || strings.Contains(note, "cut") && test.from == "Wien Westbahnhof" {
				t.Error(note)
			}
		}
	}
	if got := upper("Straße"); got != "STRASSE" {
		t.Error(got)
	}
}

func TestSeats(t *testing.T) {
	for text, want := range map[string]string{
		`{"seatRow":"52","seatNumber":"C"}`: "52C", `{"seatRow":"52","seatNumber":"52C"}`: "52C", `{"seatNumber":"14A"}`: "14A",
		`{"seatIdentifier":"7F"}`: "7F", `{}`: "",
	} {
		var o object
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if got := seatName(o); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Whatever ends a line in Unicode ends it in the picture, and a text that is cut is told.
func TestBackOfManyLines(t *testing.T) {
	f := newFaces(1, &notes{})
	if got := f.wrap("one\rtwo\u2028three\u2029four\u0085five\r\nsix", backValue, 300, 10); len(got) != 6 {
		t.Errorf("%q", got)
	}
	for n, noted := range map[int]bool{backLines: false, backLines + 1: true} {
		v, err := New([]byte(`{"generic":{"backFields":[{"key":"b","value":`+strconv.Quote(strings.Repeat("x\n", n-1)+"x")+`}]}}`), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.PNG(io.Discard, 1, Light); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(v.Notes(), "|"), "is cut after"); got != noted {
			t.Errorf("%d lines: %q", n, v.Notes())
		}
	}
}

// A design that is preferred and not drawn is told, whatever the reason.
func TestSemanticBoardingPassIsForFlights(t *testing.T) {
	v, err := New([]byte(`{"preferredStyleSchemes":["semanticBoardingPass"],"boardingPass":{"transitType":"PKTransitTypeTrain"}}`), nil, Options{})
	if err != nil || !strings.Contains(strings.Join(v.Notes(), "|"), "it is for transitType PKTransitTypeAir") {
		t.Error(v, err)
	}
}
