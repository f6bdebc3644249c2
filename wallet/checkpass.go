package wallet

import (
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What Apple documents as limits.
const (
	maxLocations    = 10
	maxBeaconUUIDs  = 10
	minSecretLength = 16 // of authenticationToken
	maxNFCMessage   = 64 // bytes
	maxActions      = 2
	teamIDLength    = 10
)

// Validate checks everything that can be told from pass.json alone, and returns
// all problems, errors first.
func (p *Pass) Validate() Problems {
	c := &checker{}
	c.pass(p)
	return c.problems.sort()
}

// CheckPass checks the file pass.json as it is: that it is JSON, types, keys that
// occur twice, keys that are not known, and everything that Validate checks.
func CheckPass(data []byte) Problems {
	p := new(Pass)
	d, err := decode(data, p)
	if err != nil {
		return Problems{notJSON(err)}
	}
	return append(d.twice, p.Validate()...).sort()
}

func notJSON(err error) Problem {
	return Problem{Error, "", "", strings.TrimPrefix(err.Error(), "wallet: "), "write one JSON object in UTF-8"}
}

func (c *checker) pass(p *Pass) {
	c.walk(reflect.ValueOf(p).Elem(), nil)
	c.required(p)
	c.style(p)
	c.codes(p)
	c.relevance(p)
	if p.NFC != nil {
		c.nfc(p, p.NFC)
	}
	c.webService(p.WebServiceURL, p.AuthenticationToken, p.Extra)
	c.passTags(p)
	c.schemes(p)
	c.upcoming(p)
	c.actions(p)
	if p.AppLaunchURL != "" && len(p.AssociatedStoreIdentifiers) == 0 {
		c.warn(nil, "appLaunchURL", "name the app in associatedStoreIdentifiers", "has no effect without associatedStoreIdentifiers")
	}
	if p.GroupingIdentifier != "" && p.BoardingPass == nil && p.EventTicket == nil {
		c.warn(nil, "groupingIdentifier", "leave it out", "groups boarding passes and event tickets only")
	}
	if p.MaxDistance != nil && *p.MaxDistance <= 0 {
		c.warn(nil, "maxDistance", "write a distance in metres, or leave it out", "leaves no place where the pass is relevant")
	}
}

func (c *checker) required(p *Pass) {
	if p.FormatVersion == 0 {
		c.missing(nil, p.Extra, "formatVersion", "write 1")
	} else if p.FormatVersion != 1 {
		c.error(nil, "formatVersion", "write 1", "is %d; there is only 1", p.FormatVersion)
	}
	for _, r := range []struct{ key, value, fix string }{
		{"passTypeIdentifier", p.PassTypeIdentifier, "write the identifier of the certificate, such as pass.com.example.ticket"},
		{"serialNumber", p.SerialNumber, "write a text that is unique within the pass type"},
		{"teamIdentifier", p.TeamIdentifier, "write the team id, ten characters, which is the OU of the certificate"},
		{"organizationName", p.OrganizationName, "write the name that the lock screen shows"},
		{"description", p.Description, "write what VoiceOver reads, such as \"Concert ticket\""},
	} {
		if r.value == "" {
			c.missing(nil, p.Extra, r.key, r.fix)
		}
	}
	if p.PassTypeIdentifier != "" && !strings.HasPrefix(p.PassTypeIdentifier, "pass.") {
		c.warn(nil, "passTypeIdentifier", "write it as in the developer account", "does not begin with pass. as Apple's identifiers do")
	}
	if p.TeamIdentifier != "" && !isTeamID(p.TeamIdentifier) {
		c.warn(nil, "teamIdentifier", "copy the team id from the developer account", "has not the form of a team id: %d capital letters and digits", teamIDLength)
	}
}

func isTeamID(s string) bool {
	return len(s) == teamIDLength && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// webService checks the two keys that passes and orders share. Lengths are said,
// texts never.
func (c *checker) webService(base, secret string, extra Extra) {
	switch {
	case base == "" && secret != "" && c.order:
		// With it an order is fetched the first time, too.
		if extra["webServiceURL"] == nil {
			c.warn(nil, "webServiceURL", "write where updates come from, or leave authenticationToken out", "is missing")
		}
	case base == "" && secret != "":
		c.missing(nil, extra, "webServiceURL", "write where updates come from, or leave authenticationToken out")
	case base != "" && secret == "":
		c.missing(nil, extra, "authenticationToken", "write a random text of at least 16 characters, another one for each pass")
	}
	if n := utf8.RuneCountInString(secret); secret != "" && n < minSecretLength {
		c.error(nil, "authenticationToken", "write a longer random text", "has %d characters; %d are the least", n, minSecretLength)
	}
	if base == "" {
		return
	}
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "":
		c.error(nil, "webServiceURL", `write it like "https://example.com/wallet"`, "is no absolute URL")
	case u.Scheme == "http" && isLocal(u.Hostname()) && !c.order:
		c.warn(nil, "webServiceURL", "use https for everybody else", "begins with http, which devices take only with the developer switch for it")
	case u.Scheme == "http":
		c.error(nil, "webServiceURL", "use https; devices take http only for passes, with the developer switch", "begins with http, not https")
	case u.Scheme != "https":
		c.error(nil, "webServiceURL", "use https", "does not begin with https")
	case u.RawQuery != "" || u.Fragment != "":
		c.warn(nil, "webServiceURL", "leave out what follows ? or #", "has a query or fragment; devices append /v1/ to the URL")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1"):
		c.warn(nil, "webServiceURL", "leave out the /v1 at the end", "ends with /v1, which devices append themselves")
	}
}

// isLocal reports whether a host is one that only its developer reaches.
func isLocal(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	return host == "localhost" || strings.HasSuffix(host, ".local")
}

func (c *checker) style(p *Pass) {
	var classic []string
	for name, style := range p.styles() {
		if *style == nil {
			continue
		}
		if name != StylePosterGeneric {
			classic = append(classic, name)
		}
		c.fields(name, *style)
	}
	switch {
	case len(classic) > 1:
		c.error(nil, classic[1], "keep one of them", "is a second style beside %s; a pass has one", classic[0])
	case len(classic) == 1:
	case p.PosterGeneric != nil:
		c.warn(nil, StylePosterGeneric, "add generic, storeCard, eventTicket or coupon for older systems", "is the only style; only iOS 27 knows it")
	case !slices.ContainsFunc(p.styleNames(), func(name string) bool { return len(p.Extra[name]) > 0 && string(p.Extra[name]) != "null" }):
		c.error(nil, "", "add one of boardingPass, coupon, eventTicket, generic, storeCard", "has no style")
	}
}

func (p *Pass) styleNames() (names []string) {
	for name := range p.styles() {
		names = append(names, name)
	}
	return names
}

// relevance checks when and where the pass is offered.
func (c *checker) relevance(p *Pass) {
	for i := range p.RelevantDates {
		c.relevantDate(&p.RelevantDates[i], (*place)(nil).item("relevantDates", i))
	}
	if n := len(p.Locations); n > maxLocations {
		c.error(nil, "locations", "keep the ten that matter most", "has %d entries; %d are the most", n, maxLocations)
	}
	for i := range p.Locations {
		l := &p.Locations[i]
		c.coordinates(l.Latitude, l.Longitude, l.Extra, (*place)(nil).item("locations", i))
	}
	uuids := map[string]bool{}
	for i := range p.Beacons {
		b := &p.Beacons[i]
		at := (*place)(nil).item("beacons", i)
		if b.ProximityUUID == "" {
			c.missing(at, b.Extra, "proximityUUID", "write the UUID that the beacon sends")
		} else if !isUUID(b.ProximityUUID) {
			c.error(at, "proximityUUID", "write it like 00000000-0000-0000-0000-000000000000, in hexadecimal", "is no UUID")
		}
		uuids[strings.ToLower(b.ProximityUUID)] = true
	}
	if n := len(uuids); n > maxBeaconUUIDs {
		c.error(nil, "beacons", "use one UUID for several beacons, with major and minor", "has %d different UUIDs; %d are the most", n, maxBeaconUUIDs)
	}
	c.past(p, time.Now())
	dated := p.RelevantDate != "" || len(p.RelevantDates) > 0
	key := "relevantDate"
	if p.RelevantDate == "" {
		key = "relevantDates"
	}
	switch {
	case dated && (p.Coupon != nil || p.StoreCard != nil):
		c.warn(nil, key, "give locations instead", "has no effect on coupons and store cards")
	case dated && p.Generic != nil && len(p.Locations) == 0:
		c.warn(nil, key, "add locations", "has no effect on generic passes without locations")
	case dated && p.RelevantDate == "":
		c.warn(nil, "relevantDates", "write relevantDate, too", "is read from iOS 18 on; older systems read relevantDate")
	}
}

// past warns of dates for which Wallet puts the pass among the expired ones: after its
// expirationDate, and a day after its last relevant date, but for coupons and store cards.
func (c *checker) past(p *Pass, now time.Time) {
	const fix = "give a later date, or leave it out"
	expires, err := p.ExpirationDate.Time()
	if err == nil && expires.Before(now) {
		c.warn(nil, "expirationDate", fix, "is past; Wallet puts the pass among the expired ones")
	}
	if p.Coupon != nil || p.StoreCard != nil {
		return
	}
	var last time.Time
	key := "relevantDate"
	take := func(name string, dates ...Date) {
		for _, d := range dates {
			if at, err := d.Time(); err == nil && at.After(last) {
				last, key = at, name
			}
		}
	}
	take("relevantDate", p.RelevantDate)
	for i := range p.RelevantDates {
		d := &p.RelevantDates[i]
		take((*place)(nil).item("relevantDates", i).String(), d.Date, d.RelevantDate, d.StartDate, d.EndDate)
	}
	switch {
	case last.IsZero():
	case last.Before(now.Add(-24 * time.Hour)):
		c.warn(nil, key, fix, "is past; Wallet puts a pass among the expired ones a day after it")
	case err == nil && expires.Before(last):
		c.warn(nil, "expirationDate", "give a date after it", "is before %s; Wallet will have put the pass among the expired ones by then", key)
	}
}

// contrast warns of text that nobody can see, unless an image may be behind it.
func (c *checker) contrast(p *Pass, image bool) {
	ground, opaque := luminance(p.BackgroundColor)
	if image || !opaque {
		return
	}
	for _, text := range []struct {
		key   string
		color Color
	}{{"foregroundColor", p.ForegroundColor}, {"labelColor", p.LabelColor}} {
		l, ok := luminance(text.color)
		if ratio := (max(l, ground) + 0.05) / (min(l, ground) + 0.05); ok && ratio < leastContrast {
			c.warn(nil, text.key, "choose a colour that is lighter or darker", "can hardly be told from backgroundColor: its contrast is %.1f, and text of less than %v cannot be read", ratio, leastContrast)
		}
	}
}

// leastContrast is what text can hardly be read below: half of what WCAG 2.2 (success
// criterion 1.4.3) asks of large text.
const leastContrast = 1.5

// luminance is the relative luminance of WCAG 2.2. It is not known of a colour that is
// missing, wrong or translucent.
func luminance(color Color) (l float64, known bool) {
	r, g, b, opacity, err := color.RGBA()
	if color == "" || err != nil || opacity < 1 {
		return 0, false
	}
	part := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*part(r) + 0.7152*part(g) + 0.0722*part(b), true
}

func (c *checker) relevantDate(d *RelevantDate, at *place) {
	start, end := d.StartDate, d.EndDate
	single := d.Date != "" || d.RelevantDate != ""
	switch {
	case start == "" && end == "" && !single:
		c.missing(at, d.Extra, "date", "write date, or startDate and endDate")
	case start != "" && end == "":
		c.missing(at, d.Extra, "endDate", "write both startDate and endDate")
	case start == "" && end != "":
		c.missing(at, d.Extra, "startDate", "write both startDate and endDate")
	}
	if single && (start != "" || end != "") {
		c.warn(at, "date", "make two entries of it", "stands beside a period; an entry is one or the other")
	}
	c.inOrder(at, "endDate", start, end, c.error)
}

// inOrder says that the second date is before the first. Dates that cannot be
// read are reported elsewhere.
func (c *checker) inOrder(at *place, key string, start, end Date, say func(*place, string, string, string, ...any)) {
	from, err1 := start.Time()
	to, err2 := end.Time()
	if err1 == nil && err2 == nil && to.Before(from) {
		say(at, key, "exchange them, or look at their zones", "is before the start")
	}
}

func (c *checker) coordinates(latitude, longitude *float64, extra Extra, at *place) {
	for _, v := range []struct {
		key   string
		value *float64
		limit float64
	}{{"latitude", latitude, 90}, {"longitude", longitude, 180}} {
		switch {
		case v.value == nil:
			c.missing(at, extra, v.key, "write degrees as a number")
		case !(*v.value >= -v.limit && *v.value <= v.limit): // not a number, too
			c.error(at, v.key, "write degrees; are the two exchanged?", "is not between -%v and %v", v.limit, v.limit)
		}
	}
}

func isUUID(s string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == '-' && s[i] != '-' || form[i] == 'x' && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
