package passview

import (
	"slices"
	"strings"
	"time"
)

// newDesigns turns the pass into the design it prefers, if it has what that design
// is made of: semantic tags. As on a device, the classic design stays otherwise.
func (v *View) newDesigns(doc, style object, f *formatter, images *pictures) {
	tags := semantics{doc.object("semantics"), f}
	switch preferred := doc.texts("preferredStyleSchemes"); {
	case v.kind == eventTicket && slices.Contains(preferred, "posterEventTicket"):
		v.posterEventTicket(tags, images)
	case v.kind == boardingPass && slices.Contains(preferred, "semanticBoardingPass") && v.transit == "PKTransitTypeAir":
		v.semanticBoardingPass(tags)
	case v.kind == boardingPass && slices.Contains(preferred, "semanticBoardingPass"):
		v.notes.add("the semantic boarding pass is not drawn: it is for transitType PKTransitTypeAir")
	}
}

// semantics are the machine-readable tags of a pass.
type semantics struct {
	object
	f *formatter
}

func (s semantics) text(key string) string { return s.f.localized(s.object.text(key)) }

// field makes a field of a tag, or none.
func (s semantics) field(label, key string) []field { return oneField(label, s.text(key)) }

func oneField(label, value string) []field {
	if value == "" {
		return nil
	}
	return []field{{label: label, value: []run{{value, ""}}}}
}

// time writes a tag's time: the clock, or the date and the clock.
func (s semantics) time(key string, withDate bool) string {
	t, ok := parseDate(s.object.text(key))
	if !ok {
		return ""
	}
	style := object{"timeStyle": "PKDateStyleShort"}
	if withDate {
		style["dateStyle"] = "PKDateStyleMedium"
	}
	return s.f.date(t, style)
}

// missing lists the tags of keys that are not there.
func (s semantics) missing(keys ...string) (list []string) {
	for _, k := range keys {
		if !s.has(k) {
			list = append(list, k)
		}
	}
	return list
}

// posterEventTicket is the design of iOS 18 ("Creating an event pass using semantic
// tags").
func (v *View) posterEventTicket(s semantics, images *pictures) {
	if missing := s.missing("eventName", "venueName"); missing != nil {
		v.notes.add("the poster design is not drawn: semantics lacks %s", strings.Join(missing, ", "))
		return
	}
	art := images.get("artwork")
	if art == nil {
		art = images.get("background")
	}
	if art == nil {
		v.notes.add("the poster design is not drawn: there is no artwork or background image")
		return
	}
	v.notes.add("the poster event ticket is drawn by its main parts; Wallet adds the event guide, map and weather")
	seats := []field(nil)
	if list := s.list("seats"); len(list) > 0 {
		seat := semantics{list[0], s.f}
		seats = slices.Concat(seat.field("Section", "seatSection"), seat.field("Row", "seatRow"), seat.field("Seat", "seatNumber"))
	}
	seats = slices.Concat(s.field("Gate", "venueEntranceGate"), s.field("Level", "admissionLevel"), seats)
	place := strings.Join(slices.DeleteFunc([]string{s.text("venueName"), s.text("venueRegionName")}, func(p string) bool { return p == "" }), ", ")
	when := s.time("eventStartDate", true)
	if info := s.object.object("eventStartDateInfo"); when == "" && info != nil {
		when = (semantics{info, s.f}).time("date", true)
	}
	v.kind, v.backdrop, v.strip, v.thumbnail = poster, art, nil, nil
	v.secondaryLogo = images.get("secondaryLogo")
	v.primary = oneField(place, s.text("eventName"))
	v.auxiliary = [2][]field{}
	v.secondary = seats
	if when != "" {
		v.header = oneField("", when)
	}
}

// semanticBoardingPass is the design of iOS 26 ("Creating an airline boarding pass
// using semantic tags").
func (v *View) semanticBoardingPass(s semantics) {
	needed := []string{
		"airlineCode", "flightNumber", "departureAirportCode", "destinationAirportCode",
		"originalDepartureDate", "originalBoardingDate", "originalArrivalDate", "passengerName",
	}
	if missing := s.missing(needed...); missing != nil {
		v.notes.add("the semantic boarding pass is not drawn: semantics lacks %s", strings.Join(missing, ", "))
		return
	}
	v.notes.add("the semantic boarding pass is drawn by its main parts; Wallet adds maps, flight status and services")
	clock := func(kind string, zone ...string) string {
		at := semantics{s.object, s.f}
		for _, key := range zone {
			if l, err := time.LoadLocation(s.object.text(key)); err == nil && s.has(key) {
				f := *s.f
				f.location, at.f = l, &f
			}
		}
		if now := at.time("current"+kind, false); now != "" {
			return now
		}
		return at.time("original"+kind, false)
	}
	from := []string{"departureLocationTimeZone", "departureAirportTimeZone"}
	to := []string{"destinationLocationTimeZone", "destinationAirportTimeZone"}
	end := func(city, airport, code string) []field {
		name := s.text(city)
		if name == "" {
			name = s.text(airport)
		}
		return oneField(name, s.text(code))
	}
	v.primary = slices.Concat(
		end("departureCityName", "departureAirportName", "departureAirportCode"),
		end("destinationCityName", "destinationAirportName", "destinationAirportCode"))
	name := s.object.object("passengerName")
	passenger := strings.TrimSpace(name.text("givenName") + " " + name.text("familyName"))
	var seats []string
	for _, o := range s.list("seats") {
		if name := seatName(o); name != "" {
			seats = append(seats, name)
		}
	}
	seat := strings.Join(seats, ", ")
	flight := s.text("airlineCode") + " " + s.text("flightNumber")
	v.header = slices.Concat(oneField("Flight", flight), s.field("Gate", "departureGate"))
	v.auxiliary = [2][]field{slices.Concat(
		oneField("Boards", clock("BoardingDate", from...)), oneField("Departs", clock("DepartureDate", from...)),
		s.field("Terminal", "departureTerminal"), oneField("Arrives", clock("ArrivalDate", to...)))}
	v.secondary = slices.Concat(oneField("Passenger", passenger), oneField("Seat", seat),
		s.field("Group", "boardingGroup"), s.field("Class", "ticketFareClass"))
}

// seatName is row and seat as people say it: 52C, also where the row is part of the
// number.
func seatName(o object) string {
	row, number := o.text("seatRow"), o.text("seatNumber")
	switch {
	case number == "":
		return o.text("seatIdentifier")
	case strings.HasPrefix(number, row):
		return number
	}
	return row + number
}
