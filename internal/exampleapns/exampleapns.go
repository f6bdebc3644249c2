// Package exampleapns stands in for Apple in the runnable examples: a simulator
// on loopback, a signing key in a file, and one device. Tests use apnstest,
// which needs a testing.TB that examples do not have.
package exampleapns

import (
	"os"
	"path/filepath"
	"time"

	"aviso.example/auth"
	"aviso.example/sim"
)

// Server is a simulator for one example.
type Server struct {
	// Endpoint and CA are for apns.Config; KeyFile is a .p8 file with Apple's
	// kind of name.
	Endpoint, KeyFile string
	CA                []byte
	DeviceToken       string

	sim *sim.Server
	dir string
}

// Start runs a simulator. It panics if it cannot, since an example has nowhere
// to report to.
func Start() *Server {
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	check(err)
	s := &Server{DeviceToken: "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"}
	s.dir, err = os.MkdirTemp("", "aviso-example-")
	check(err)
	s.KeyFile = filepath.Join(s.dir, "AuthKey_ABC123DEFG.p8")
	check(os.WriteFile(s.KeyFile, key.PEM(), 0o600))
	s.sim, err = sim.New(sim.Config{TeamID: "A1B2C3D4E5", Keys: []sim.Key{{KeyID: "ABC123DEFG", Public: key.Public()}}})
	check(err)
	s.Endpoint, err = s.sim.Start("127.0.0.1:0")
	check(err)
	s.CA = s.sim.CAPEM()
	return s
}

// Unregister makes the device's answer 410 from now on.
func (s *Server) Unregister(since time.Time) {
	check(s.sim.Devices().Put(sim.Device{DeviceToken: s.DeviceToken, State: sim.Unregistered, Since: since}, time.Now()))
}

// Simulator is the whole of it, for examples that look at devices: the people at
// the other end.
func (s *Server) Simulator() *sim.Server { return s.sim }

// Close ends the simulator and removes its files.
func (s *Server) Close() {
	s.sim.Close()
	os.RemoveAll(s.dir)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
