package payload

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// SwiftDate is a time inside a ContentState or Attributes whose Swift property
// has the type Date. It encodes as seconds since 2001-01-01 00:00:00 UTC, which
// is what Swift's default decoding strategy reads. A plain time.Time encodes as
// an RFC 3339 string, at which the device drops the whole update without a word
// ("Starting and updating Live Activities with ActivityKit push
// notifications": only default strategies are used).
type SwiftDate time.Time

// swiftEpoch is 2001-01-01 00:00:00 UTC in UNIX seconds.
const swiftEpoch = 978307200

// MarshalJSON returns a number of seconds, to the microsecond.
func (d SwiftDate) MarshalJSON() ([]byte, error) {
	micros := time.Time(d).UnixMicro() - swiftEpoch*1_000_000
	return strconv.AppendFloat(nil, float64(micros)/1e6, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (d *SwiftDate) UnmarshalJSON(data []byte) error {
	var seconds float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return err
	}
	whole, fraction := math.Modf(seconds)
	// The device works with doubles too; beyond microseconds there is only
	// rounding.
	micros := math.Round(fraction * 1e6)
	*d = SwiftDate(time.Unix(int64(whole)+swiftEpoch, int64(micros)*1000).UTC())
	return nil
}
