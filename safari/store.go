package safari

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Registration is a device on which a user permitted notifications.
type Registration struct {
	WebsitePushID string
	// DeviceToken is where to push to, in lower-case hexadecimal digits. The topic
	// is WebsitePushID, the environment production.
	DeviceToken string
	// User is what [Users] said.
	User string
}

// Store keeps registrations. Safari repeats its calls, so both methods must be
// idempotent: what is there stays, what is not there is gone. A device that
// registers for another user is now that user's. Methods are called by many
// goroutines at once.
type Store interface {
	Register(context.Context, Registration) error
	// Unregister removes a registration. It must not remove the one of another
	// user, since any user can name any device token.
	Unregister(context.Context, Registration) error
}

// MemoryStore is a [Store] for tests and trials; it forgets everything when the
// process ends. The zero value is ready for use.
type MemoryStore struct {
	mu            sync.Mutex
	registrations map[[2]string]string // user by website and device token
}

// Register implements [Store].
func (s *MemoryStore) Register(_ context.Context, r Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registrations == nil {
		s.registrations = map[[2]string]string{}
	}
	s.registrations[[2]string{r.WebsitePushID, r.DeviceToken}] = r.User
	return nil
}

// Unregister implements [Store].
func (s *MemoryStore) Unregister(_ context.Context, r Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := [2]string{r.WebsitePushID, r.DeviceToken}
	if user, ok := s.registrations[at]; ok && user == r.User {
		delete(s.registrations, at)
	}
	return nil
}

// Registrations returns all of them, sorted by website and device token.
func (s *MemoryStore) Registrations() []Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Registration
	for at, user := range s.registrations {
		all = append(all, Registration{at[0], at[1], user})
	}
	slices.SortFunc(all, func(a, b Registration) int {
		return strings.Compare(a.WebsitePushID+"\x00"+a.DeviceToken, b.WebsitePushID+"\x00"+b.DeviceToken)
	})
	return all
}
