package gateway

// CreditsOut returns how many of a provider's credits are out. It is right when
// nothing moves.
func (g *Gateway) CreditsOut() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]int64{}
	for name, r := range g.byName {
		got := int64(0)
		for n := int64(mostInFlight); n > 0; n /= 2 {
			if r.credit.TryAcquire(n) {
				got += n
			}
		}
		r.credit.Release(got)
		out[name] = mostInFlight - got
	}
	return out
}
