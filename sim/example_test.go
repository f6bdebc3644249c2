package sim_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"

	"aviso.example/sim"
)

// Start a simulator, send it something with any HTTP/2 client, and look.
func Example() {
	srv, err := sim.New(sim.Config{TrustAnyKey: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	addr, err := srv.Start("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: srv.CertPool()}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	res, err := client.Post("https://"+addr+"/3/device/abcd", "", nil)
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	fmt.Println(res.StatusCode, string(body))
	fmt.Println(srv.Pushes(sim.Filter{})[0].Outcome)
	// Output:
	// 403 {"reason":"MissingProviderToken"}
	// rejected
}

// The first two pushes to one device token are answered as in an outage.
func ExampleServer_AddFault() {
	srv, err := sim.New(sim.Config{TrustAnyKey: true})
	if err != nil {
		log.Fatal(err)
	}
	id, err := srv.AddFault(sim.Fault{
		Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", RetryAfter: "30",
		DeviceToken: "00fc13adff785122", Count: 2,
	})
	fmt.Println(id, err)
	_, err = srv.AddFault(sim.Fault{Kind: sim.FaultDelay})
	fmt.Println(err)
	// Output:
	// f1 <nil>
	// sim: fault delay: delay needs delay or jitter
}
