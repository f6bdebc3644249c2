package wallet

// SemanticTags tell the system what a pass is about, so that it can offer more
// than the pass shows: at the top of a pass or in a field (Apple,
// "SemanticTags"). Texts are localisable.
type SemanticTags struct {
	// Any pass.
	TotalPrice *CurrencyAmount `json:"totalPrice"`
	WifiAccess []WifiNetwork   `json:"wifiAccess"`

	// Boarding passes and event tickets.
	Seats            []Seat `json:"seats"`
	SilenceRequested *bool  `json:"silenceRequested"`
	// Duration is in seconds.
	Duration *float64 `json:"duration"`

	// Store cards.
	Balance *CurrencyAmount `json:"balance"`

	// Boarding passes of all kinds.
	BoardingGroup                  string            `json:"boardingGroup"`
	BoardingSequenceNumber         string            `json:"boardingSequenceNumber"`
	BoardingZone                   string            `json:"boardingZone"`
	ConfirmationNumber             string            `json:"confirmationNumber"`
	DepartureLocation              *SemanticLocation `json:"departureLocation"`
	DepartureLocationDescription   string            `json:"departureLocationDescription"`
	DestinationLocation            *SemanticLocation `json:"destinationLocation"`
	DestinationLocationDescription string            `json:"destinationLocationDescription"`
	MembershipProgramName          string            `json:"membershipProgramName"`
	MembershipProgramNumber        string            `json:"membershipProgramNumber"`
	MembershipProgramStatus        string            `json:"membershipProgramStatus"`
	PassengerName                  *PersonNames      `json:"passengerName"`
	PriorityStatus                 string            `json:"priorityStatus"`
	SecurityScreening              string            `json:"securityScreening"`
	TicketFareClass                string            `json:"ticketFareClass"`
	TransitProvider                string            `json:"transitProvider"`
	TransitStatus                  string            `json:"transitStatus"`
	TransitStatusReason            string            `json:"transitStatusReason"`
	VehicleName                    string            `json:"vehicleName"`
	VehicleNumber                  string            `json:"vehicleNumber"`
	VehicleType                    string            `json:"vehicleType"`
	OriginalArrivalDate            Date              `json:"originalArrivalDate"`
	OriginalBoardingDate           Date              `json:"originalBoardingDate"`
	OriginalDepartureDate          Date              `json:"originalDepartureDate"`
	CurrentArrivalDate             Date              `json:"currentArrivalDate"`
	CurrentBoardingDate            Date              `json:"currentBoardingDate"`
	CurrentDepartureDate           Date              `json:"currentDepartureDate"`

	// Rail and bus.
	CarNumber              string `json:"carNumber"`
	DeparturePlatform      string `json:"departurePlatform"`
	DepartureStationName   string `json:"departureStationName"`
	DestinationPlatform    string `json:"destinationPlatform"`
	DestinationStationName string `json:"destinationStationName"`

	// Air.
	AirlineCode            string `json:"airlineCode"`
	FlightCode             string `json:"flightCode"`
	FlightNumber           *int64 `json:"flightNumber"`
	DepartureAirportCode   string `json:"departureAirportCode"`
	DepartureAirportName   string `json:"departureAirportName"`
	DepartureGate          string `json:"departureGate"`
	DepartureTerminal      string `json:"departureTerminal"`
	DestinationAirportCode string `json:"destinationAirportCode"`
	DestinationAirportName string `json:"destinationAirportName"`
	DestinationGate        string `json:"destinationGate"`
	DestinationTerminal    string `json:"destinationTerminal"`

	// Air, iOS 26.
	DepartureCityName                         string   `json:"departureCityName"`
	DestinationCityName                       string   `json:"destinationCityName"`
	PassengerEligibleSecurityPrograms         []string `json:"passengerEligibleSecurityPrograms"`
	PassengerCapabilities                     []string `json:"passengerCapabilities"`
	PassengerAirlineSSRs                      []string `json:"passengerAirlineSSRs"`
	PassengerInformationSSRs                  []string `json:"passengerInformationSSRs"`
	PassengerServiceSSRs                      []string `json:"passengerServiceSSRs"`
	InternationalDocumentsAreVerified         *bool    `json:"internationalDocumentsAreVerified"`
	InternationalDocumentsVerifiedDeclaration string   `json:"internationalDocumentsVerifiedDeclarationName"`
	DepartureLocationTimeZone                 string   `json:"departureLocationTimeZone"`
	DestinationLocationTimeZone               string   `json:"destinationLocationTimeZone"`
	DepartureLocationSecurityPrograms         []string `json:"departureLocationSecurityPrograms"`
	DestinationLocationSecurityPrograms       []string `json:"destinationLocationSecurityPrograms"`
	LoungePlaceIDs                            []string `json:"loungePlaceIDs"`

	// The five above, as Apple's pass-builder spells them. Apple's
	// documentation and code disagree; BothSpellings writes both.
	DepartureAirportTimeZone           string   `json:"departureAirportTimeZone"`
	DestinationAirportTimeZone         string   `json:"destinationAirportTimeZone"`
	DepartureAirportSecurityPrograms   []string `json:"departureAirportSecurityPrograms"`
	DestinationAirportSecurityPrograms []string `json:"destinationAirportSecurityPrograms"`
	AirlineLoungePlaceID               string   `json:"airlineLoungePlaceID"`

	// Event tickets.
	EventName                  string            `json:"eventName"`
	EventType                  EventType         `json:"eventType"`
	EventStartDate             Date              `json:"eventStartDate"`
	EventEndDate               Date              `json:"eventEndDate"`
	EventStartDateInfo         *EventDateInfo    `json:"eventStartDateInfo"`
	EventLiveMessage           string            `json:"eventLiveMessage"`
	AdditionalTicketAttributes string            `json:"additionalTicketAttributes"`
	AdmissionLevel             string            `json:"admissionLevel"`
	AdmissionLevelAbbreviation string            `json:"admissionLevelAbbreviation"`
	AttendeeName               string            `json:"attendeeName"`
	EntranceDescription        string            `json:"entranceDescription"`
	Genre                      string            `json:"genre"`
	PerformerNames             []string          `json:"performerNames"`
	ArtistIDs                  []string          `json:"artistIDs"`
	AlbumIDs                   []string          `json:"albumIDs"`
	PlaylistIDs                []string          `json:"playlistIDs"`
	TailgatingAllowed          *bool             `json:"tailgatingAllowed"`
	VenueName                  string            `json:"venueName"`
	VenueLocation              *SemanticLocation `json:"venueLocation"`
	VenueRegionName            string            `json:"venueRegionName"`
	VenueRoom                  string            `json:"venueRoom"`
	VenuePhoneNumber           string            `json:"venuePhoneNumber"`
	VenuePlaceID               string            `json:"venuePlaceID"`
	VenueEntrance              string            `json:"venueEntrance"`
	VenueEntranceDoor          string            `json:"venueEntranceDoor"`
	VenueEntranceGate          string            `json:"venueEntranceGate"`
	VenueEntrancePortal        string            `json:"venueEntrancePortal"`
	VenueOpenDate              Date              `json:"venueOpenDate"`
	VenueCloseDate             Date              `json:"venueCloseDate"`
	VenueDoorsOpenDate         Date              `json:"venueDoorsOpenDate"`
	VenueGatesOpenDate         Date              `json:"venueGatesOpenDate"`
	VenueBoxOfficeOpenDate     Date              `json:"venueBoxOfficeOpenDate"`
	VenueFanZoneOpenDate       Date              `json:"venueFanZoneOpenDate"`
	VenueParkingLotsOpenDate   Date              `json:"venueParkingLotsOpenDate"`

	// Sports.
	SportName            string `json:"sportName"`
	LeagueName           string `json:"leagueName"`
	LeagueAbbreviation   string `json:"leagueAbbreviation"`
	HomeTeamName         string `json:"homeTeamName"`
	HomeTeamLocation     string `json:"homeTeamLocation"`
	HomeTeamAbbreviation string `json:"homeTeamAbbreviation"`
	AwayTeamName         string `json:"awayTeamName"`
	AwayTeamLocation     string `json:"awayTeamLocation"`
	AwayTeamAbbreviation string `json:"awayTeamAbbreviation"`

	// Airplay is not documented by Apple.
	Airplay []Airplay `json:"airplay"`

	Extra Extra `json:"-"`
}

// BothSpellings fills in the tags of iOS 26 that Apple's documentation and
// Apple's pass-builder spell differently, where only one of the two is set.
func (s *SemanticTags) BothSpellings() {
	same := func(a, b *string) {
		if *a == "" {
			*a = *b
		} else if *b == "" {
			*b = *a
		}
	}
	sameList := func(a, b *[]string) {
		if *a == nil {
			*a = *b
		} else if *b == nil {
			*b = *a
		}
	}
	same(&s.DepartureLocationTimeZone, &s.DepartureAirportTimeZone)
	same(&s.DestinationLocationTimeZone, &s.DestinationAirportTimeZone)
	sameList(&s.DepartureLocationSecurityPrograms, &s.DepartureAirportSecurityPrograms)
	sameList(&s.DestinationLocationSecurityPrograms, &s.DestinationAirportSecurityPrograms)
	switch {
	case len(s.LoungePlaceIDs) == 0 && s.AirlineLoungePlaceID != "":
		s.LoungePlaceIDs = []string{s.AirlineLoungePlaceID}
	case len(s.LoungePlaceIDs) > 0 && s.AirlineLoungePlaceID == "":
		s.AirlineLoungePlaceID = s.LoungePlaceIDs[0]
	}
}

// EventType is what kind of event a ticket is for.
type EventType string

// The types of events.
const (
	EventGeneric         EventType = "PKEventTypeGeneric"
	EventLivePerformance EventType = "PKEventTypeLivePerformance"
	EventMovie           EventType = "PKEventTypeMovie"
	EventSports          EventType = "PKEventTypeSports"
	EventConference      EventType = "PKEventTypeConference"
	EventConvention      EventType = "PKEventTypeConvention"
	EventWorkshop        EventType = "PKEventTypeWorkshop"
	EventSocialGathering EventType = "PKEventTypeSocialGathering"
)

// CurrencyAmount is an amount of money in a pass. (Orders have OrderAmount,
// with another key.)
type CurrencyAmount struct {
	// Amount is a decimal number as text, such as "12.50".
	Amount       string `json:"amount"`
	CurrencyCode string `json:"currencyCode"`

	Extra Extra `json:"-"`
}

// EventDateInfo says when an event is, and how much of that is known.
type EventDateInfo struct {
	Date                 Date `json:"date"`
	IgnoreTimeComponents bool `json:"ignoreTimeComponents"`
	// TimeZone is a name of the IANA time zone database.
	TimeZone     string `json:"timeZone"`
	Unannounced  bool   `json:"unannounced"`
	Undetermined bool   `json:"undetermined"`

	Extra Extra `json:"-"`
}

// SemanticLocation is a place.
type SemanticLocation struct {
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`

	Extra Extra `json:"-"`
}

// PersonNames are the parts of a person's name.
type PersonNames struct {
	FamilyName             string `json:"familyName"`
	GivenName              string `json:"givenName"`
	MiddleName             string `json:"middleName"`
	NamePrefix             string `json:"namePrefix"`
	NameSuffix             string `json:"nameSuffix"`
	Nickname               string `json:"nickname"`
	PhoneticRepresentation string `json:"phoneticRepresentation"`

	Extra Extra `json:"-"`
}

// Seat is a seat.
type Seat struct {
	SeatAisle        string `json:"seatAisle"`
	SeatDescription  string `json:"seatDescription"`
	SeatIdentifier   string `json:"seatIdentifier"`
	SeatLevel        string `json:"seatLevel"`
	SeatNumber       string `json:"seatNumber"`
	SeatRow          string `json:"seatRow"`
	SeatSection      string `json:"seatSection"`
	SeatSectionColor Color  `json:"seatSectionColor"`
	SeatType         string `json:"seatType"`

	Extra Extra `json:"-"`
}

// WifiNetwork is a network that guests may use.
type WifiNetwork struct {
	SSID     string `json:"ssid"`
	Password string `json:"password"`

	Extra Extra `json:"-"`
}

// Airplay is a group of devices to play on. passkit-generator, from which it is
// known, spells its key in two ways.
type Airplay struct {
	AirPlayDeviceGroupToken string `json:"airPlayDeviceGroupToken"`
	AirplayDeviceGroupToken string `json:"airplayDeviceGroupToken"`

	Extra Extra `json:"-"`
}
