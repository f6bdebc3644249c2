package legacy

// SetIdentifier makes id the next identifier, so that tests reach their end. It
// has to be called before the first notification.
func (c *Client) SetIdentifier(id uint32) { c.firstIdentifier.Store(id) }

// What tests hold time against.
const (
	WriteTimeout = writeTimeout
	LastWords    = lastWords
	DialBurst    = dialBurst
	DialEvery    = dialEvery
	EarnedBack   = earnedBack
	BackoffMin   = backoffMin
	RetryPause   = retryPause
	BatchSize    = batchSize
	FirstBurst   = firstBurst
	BurstPeriod  = burstPeriod
)

// DrawLine is the rule of replay.
func DrawLine(p *ErrorPacket, at int, oldest uint32, settled uint64) (sent int, refused, unprocessed bool, late uint64) {
	l := drawLine(p, at, oldest, settled)
	return l.sent, l.refused, l.unprocessed, l.late
}
