package wallet

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"aviso.example/internal/suggest"
)

// hint names the nearest of the known words, or all of them.
func hint(word string, known []string) string {
	if near := suggest.Nearest(word, known, 1); len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	if near := bySuffix(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "write one of " + strings.Join(known, ", ")
}

// Apple's words in semantic tags ("SemanticTags"). Unknown ones are passed over,
// and newer systems have more, so they are warnings.
var (
	capabilities = []string{
		"PKPassengerCapabilityPreboarding", "PKPassengerCapabilityPriorityBoarding", "PKPassengerCapabilityCarryon",
		"PKPassengerCapabilityPersonalItem", "PKPassengerCapabilityLapInfant",
	}
	securityPrograms = []string{
		"PKTransitSecurityProgramTSAPreCheck", "PKTransitSecurityProgramTSAPreCheckTouchlessID", "PKTransitSecurityProgramOSS",
		"PKTransitSecurityProgramITI", "PKTransitSecurityProgramITD", "PKTransitSecurityProgramGlobalEntry", "PKTransitSecurityProgramCLEAR",
	}
	informationSSRs = []string{"INFT"}
	serviceSSRs     = []string{"PETC", "SVAN", "UMNR", "WCBD", "WCBW", "WCHC", "WCHR", "WCHS", "WCLB", "WCMP", "WCOB"}
)

func (c *checker) passTags(p *Pass) {
	if p.Semantics != nil {
		c.tags(p.Semantics, (*place)(nil).at("semantics"))
	}
}

// tags checks semantic tags wherever they stand.
func (c *checker) tags(s *SemanticTags, at *place) {
	c.amount(s.TotalPrice, at.at("totalPrice"))
	c.amount(s.Balance, at.at("balance"))
	for _, l := range []struct {
		key string
		at  *SemanticLocation
	}{{"departureLocation", s.DepartureLocation}, {"destinationLocation", s.DestinationLocation}, {"venueLocation", s.VenueLocation}} {
		if l.at != nil {
			c.coordinates(l.at.Latitude, l.at.Longitude, l.at.Extra, at.at(l.key))
		}
	}
	for i := range s.WifiAccess {
		w := &s.WifiAccess[i]
		if w.SSID == "" {
			c.missing(at.item("wifiAccess", i), w.Extra, "ssid", "write the name of the network")
		}
		if w.Password == "" {
			c.missing(at.item("wifiAccess", i), w.Extra, "password", "write the password of the network")
		}
	}
	for _, list := range []struct {
		key    string
		values []string
		known  []string
	}{
		{"passengerCapabilities", s.PassengerCapabilities, capabilities},
		{"passengerEligibleSecurityPrograms", s.PassengerEligibleSecurityPrograms, securityPrograms},
		{"departureLocationSecurityPrograms", s.DepartureLocationSecurityPrograms, securityPrograms},
		{"destinationLocationSecurityPrograms", s.DestinationLocationSecurityPrograms, securityPrograms},
		{"departureAirportSecurityPrograms", s.DepartureAirportSecurityPrograms, securityPrograms},
		{"destinationAirportSecurityPrograms", s.DestinationAirportSecurityPrograms, securityPrograms},
		{"passengerInformationSSRs", s.PassengerInformationSSRs, informationSSRs},
		{"passengerServiceSSRs", s.PassengerServiceSSRs, serviceSSRs},
	} {
		for i, word := range list.values {
			// IATA has more codes of services than Apple's page lists, each of four letters.
			if strings.HasSuffix(list.key, "SSRs") && len(word) == 4 && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
				continue
			}
			if !slices.Contains(list.known, word) {
				c.warn(at.item(list.key, i), "", hint(word, list.known), "is not a word that Wallet knows")
			}
		}
	}
	for _, zone := range []struct{ key, name string }{
		{"departureLocationTimeZone", s.DepartureLocationTimeZone},
		{"destinationLocationTimeZone", s.DestinationLocationTimeZone},
		{"departureAirportTimeZone", s.DepartureAirportTimeZone},
		{"destinationAirportTimeZone", s.DestinationAirportTimeZone},
	} {
		c.timeZone(at, zone.key, zone.name)
	}
	if s.EventStartDateInfo != nil {
		c.timeZone(at.at("eventStartDateInfo"), "timeZone", s.EventStartDateInfo.TimeZone)
	}
	c.inOrder(at, "eventEndDate", s.EventStartDate, s.EventEndDate, c.warn)
	c.spellings(s, at)
}

// spellings warns about tags of which Apple's documentation and code have two
// names, when only one is used.
func (c *checker) spellings(s *SemanticTags, at *place) {
	for _, pair := range []struct {
		documented, built string
		a, b              bool
	}{
		{"departureLocationTimeZone", "departureAirportTimeZone", s.DepartureLocationTimeZone != "", s.DepartureAirportTimeZone != ""},
		{"destinationLocationTimeZone", "destinationAirportTimeZone", s.DestinationLocationTimeZone != "", s.DestinationAirportTimeZone != ""},
		{"departureLocationSecurityPrograms", "departureAirportSecurityPrograms", s.DepartureLocationSecurityPrograms != nil, s.DepartureAirportSecurityPrograms != nil},
		{"destinationLocationSecurityPrograms", "destinationAirportSecurityPrograms", s.DestinationLocationSecurityPrograms != nil, s.DestinationAirportSecurityPrograms != nil},
		{"loungePlaceIDs", "airlineLoungePlaceID", s.LoungePlaceIDs != nil, s.AirlineLoungePlaceID != ""},
	} {
		there, other := pair.documented, pair.built
		if pair.b {
			there, other = other, there
		}
		if pair.a != pair.b {
			c.warn(at, there, "write both", "is called %s in Apple's %s, which disagree", other,
				map[bool]string{true: "documentation, and " + there + " in its code", false: "code, and " + there + " in its documentation"}[pair.b])
		}
	}
}

func (c *checker) timeZone(at *place, key, name string) {
	if name == "" {
		return
	}
	if !timeZoneForm(name) {
		c.warn(at, key, `write it like "Europe/Berlin"`, "has not the form of a time zone of the IANA database")
	}
}

// timeZoneForm does not look the zone up: this machine may have no time zones.
func timeZoneForm(name string) bool {
	if name == "UTC" || name == "GMT" {
		return true
	}
	area, city, ok := strings.Cut(name, "/")
	return ok && area != "" && city != "" && !strings.ContainsAny(name, " :") && area[0] >= 'A' && area[0] <= 'Z'
}

func (c *checker) amount(a *CurrencyAmount, at *place) {
	if a == nil {
		return
	}
	if a.Amount == "" {
		c.missing(at, a.Extra, "amount", `write it as a text, such as "12.50"`)
	} else if !isNumber(a.Amount) {
		c.warn(at, "amount", `write it like "12.50", with a point`, "is no decimal number")
	}
	if a.CurrencyCode == "" {
		c.missing(at, a.Extra, "currencyCode", `write it like "EUR"`)
	} else {
		c.currency(at, "currencyCode", a.CurrencyCode)
	}
}

// schemes checks the newer designs. If the conditions of a design are not met,
// Wallet draws the next one without a word, so these are warnings. The conditions
// are those of Apple's pass-builder and of Apple's two guides together.
func (c *checker) schemes(p *Pass) {
	at := (*place)(nil)
	known := []string{SchemePosterEventTicket, SchemeSemanticBoardingPass, StyleEventTicket, StyleBoardingPass, StyleGeneric, StyleCoupon, StyleStoreCard, StylePosterGeneric}
	for i, scheme := range p.PreferredStyleSchemes {
		here := at.item("preferredStyleSchemes", i)
		switch {
		case scheme == SchemePosterEventTicket && p.EventTicket == nil:
			c.warn(here, "", "add eventTicket", "is a design of event tickets, and the pass is none")
		case scheme == SchemePosterEventTicket:
			c.poster(p, here)
		case scheme == SchemeSemanticBoardingPass && p.BoardingPass == nil:
			c.warn(here, "", "add boardingPass", "is a design of boarding passes, and the pass is none")
		case scheme == SchemeSemanticBoardingPass:
			c.semanticBoarding(p, here)
		case !slices.Contains(known, scheme):
			c.warn(here, "", hint(scheme, known[:4]), "is not a design that is known")
		}
	}
	if len(p.PreferredStyleSchemes) == 0 && len(p.UpcomingPassInformation) > 0 {
		c.warn(nil, "upcomingPassInformation", "set preferredStyleSchemes to posterEventTicket, eventTicket", "has an effect on poster event tickets only")
	}
}

// need is a tag that a design needs.
type need struct {
	key   string
	there bool
}

func (c *checker) needs(design string, list ...need) {
	at := (*place)(nil).at("semantics")
	for _, n := range list {
		if !n.there {
			c.warn(at, n.key, "add it", "is missing; without it %s is not used", design)
		}
	}
}

func (c *checker) poster(p *Pass, at *place) {
	s := p.Semantics
	if s == nil {
		s = &SemanticTags{}
	}
	if p.NFC == nil {
		c.warn(at, "", "add nfc, or keep eventTicket alone: the design is not for tickets that are scanned", "needs nfc; without it the design is not used")
	} else if p.NFC.RequiresAuthentication == nil && p.NFC.Extra["requiresAuthentication"] == nil {
		c.warn(nil, "nfc.requiresAuthentication", "write true or false", "is missing; without it %s is not used", SchemePosterEventTicket)
	}
	sports, live := s.EventType == EventSports, s.EventType == EventLivePerformance
	c.needs(SchemePosterEventTicket,
		need{"eventName", s.EventName != ""}, need{"venueName", s.VenueName != ""},
		need{"venueRegionName", s.VenueRegionName != ""}, need{"venueRoom", s.VenueRoom != ""},
		need{"homeTeamAbbreviation", !sports || s.HomeTeamAbbreviation != ""},
		need{"awayTeamAbbreviation", !sports || s.AwayTeamAbbreviation != ""},
		need{"performerNames", !live || len(s.PerformerNames) > 0})
	tags := (*place)(nil).at("semantics")
	if s.EventStartDate == "" && s.EventStartDateInfo == nil {
		c.warn(tags, "eventStartDate", "add it", "is missing; Apple advises it for posters")
	}
	if live && len(s.ArtistIDs) == 0 {
		c.warn(tags, "artistIDs", "add the artists' identifiers at Apple Music", "is missing; Apple advises it for live performances")
	}
	if len(s.Seats) == 0 {
		c.warn(tags, "seats", "add them, if there are seats", "is missing; Apple advises it for posters")
	}
}

func (c *checker) semanticBoarding(p *Pass, at *place) {
	if t := p.BoardingPass.TransitType; t != TransitAir && t != "" {
		c.warn(at, "", "use it for flights only", "needs transitType PKTransitTypeAir")
	}
	s := p.Semantics
	if s == nil {
		s = &SemanticTags{}
	}
	c.needs(SchemeSemanticBoardingPass,
		need{"airlineCode", s.AirlineCode != ""}, need{"flightNumber", s.FlightNumber != nil},
		need{"departureAirportCode", s.DepartureAirportCode != ""}, need{"destinationAirportCode", s.DestinationAirportCode != ""},
		need{"departureCityName", s.DepartureCityName != ""}, need{"destinationCityName", s.DestinationCityName != ""},
		need{"departureLocationTimeZone", s.DepartureLocationTimeZone+s.DepartureAirportTimeZone != ""},
		need{"destinationLocationTimeZone", s.DestinationLocationTimeZone+s.DestinationAirportTimeZone != ""},
		need{"originalArrivalDate", s.OriginalArrivalDate != ""}, need{"originalBoardingDate", s.OriginalBoardingDate != ""},
		need{"originalDepartureDate", s.OriginalDepartureDate != ""}, need{"passengerName", s.PassengerName != nil})
	if len(s.Seats) == 0 {
		c.warn((*place)(nil).at("semantics"), "seats", "add them, if there are seats", "is missing; Apple advises it for semantic boarding passes")
	}
}

const maxRemoteImage = 2 << 20 // bytes

func (c *checker) upcoming(p *Pass) {
	seen := map[string]bool{}
	for i := range p.UpcomingPassInformation {
		u := &p.UpcomingPassInformation[i]
		at := (*place)(nil).item("upcomingPassInformation", i)
		if u.Identifier == "" {
			c.missing(at, u.Extra, "identifier", "write a name that no other entry has")
		} else if seen[u.Identifier] {
			c.error(at, "identifier", "give each entry an identifier of its own", "is the identifier of another entry")
		}
		seen[u.Identifier] = true
		if u.Name == "" {
			c.missing(at, u.Extra, "name", "write the name of the event")
		}
		if u.Type == "" {
			c.missing(at, u.Extra, "type", `write "event"`)
		} else if u.Type != "event" {
			c.error(at, "type", `write "event"`, "has to be event")
		}
		keys := map[string]string{}
		for j := range u.AdditionalInfoFields {
			c.field(&u.AdditionalInfoFields[j], "additionalInfoFields", "", keys, at.item("additionalInfoFields", j))
		}
		for j := range u.BackFields {
			c.field(&u.BackFields[j], "backFields", "", keys, at.item("backFields", j))
		}
		if u.DateInformation != nil {
			c.timeZone(at.at("dateInformation"), "timeZone", u.DateInformation.TimeZone)
		}
		if u.Semantics != nil {
			c.tags(u.Semantics, at.at("semantics"))
		}
		if u.Images != nil {
			c.remote(u.Images.HeaderImage, at.at("images").at("headerImage"))
			c.remote(u.Images.VenueMap, at.at("images").at("venueMap"))
		}
	}
}

func (c *checker) remote(r *RemoteImage, at *place) {
	if r == nil {
		return
	}
	if len(r.URLs) == 0 && !r.ReuseExisting {
		c.warn(at, "URLs", "add an image, or set reuseExisting", "is empty, and reuseExisting is not set")
	}
	for i := range r.URLs {
		u := &r.URLs[i]
		here := at.item("URLs", i)
		if u.URL == "" {
			c.missing(here, u.Extra, "URL", "write where the image is, beginning with https")
		} else if parsed, err := url.Parse(u.URL); err != nil || parsed.Scheme != "https" || parsed.Host == "" {
			c.error(here, "URL", "write an absolute URL that begins with https", "is no https URL")
		}
		if u.SHA256 == "" {
			c.missing(here, u.Extra, "SHA256", "write the SHA-256 of the image in hexadecimal")
		} else if len(u.SHA256) != 64 || strings.IndexFunc(u.SHA256, func(r rune) bool { return r > 127 || !isHex(byte(r)) }) >= 0 {
			c.error(here, "SHA256", "write it in hexadecimal, 64 characters", "is no SHA-256")
		}
		if u.Scale != nil && (*u.Scale < 1 || *u.Scale > 3) {
			c.error(here, "scale", "write 1, 2 or 3", "is %d; there are 1, 2 and 3", *u.Scale)
		}
		if u.Size != nil && (*u.Size < 1 || *u.Size > maxRemoteImage) {
			c.error(here, "size", "use a smaller image, and write its size", "is %d bytes; %d are the most", *u.Size, maxRemoteImage)
		}
	}
}
