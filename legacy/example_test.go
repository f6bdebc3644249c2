package legacy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy"
)

// gateway stands in for a gateway in these examples: it refuses device tokens
// that begin with bad, and its feedback service knows of one dead device.
type gateway struct {
	*peer
	Endpoint string
	CA       []byte
	PEMFile  string // a client certificate with its key
}

func startGateway() *gateway {
	dir := must(os.MkdirTemp("", "aviso-example-"))
	g := &gateway{CA: ids().serverPEM, PEMFile: dir + "/push.pem", peer: &peer{listener: must(net.Listen("tcp", "127.0.0.1:0"))}}
	if err := os.WriteFile(g.PEMFile, ids().clientPEM, 0o600); err != nil {
		panic(err)
	}
	g.Endpoint = g.listener.Addr().String()
	g.script = func(c *peerConn) {
		for n, err := c.next(); err == nil; n, err = c.next() {
			if strings.HasPrefix(n.device, "bad") {
				c.refuse(8, n.id)
				return
			}
		}
	}
	g.start()
	return g
}

func startFeedbackService() *gateway {
	g := startGateway()
	g.script = func(c *peerConn) {
		c.Write(unhex("6955b900 0020" + wireDevice))
		c.Close()
	}
	return g
}

func (g *gateway) Close() {
	g.stop()
	os.Remove(g.PEMFile)
	os.Remove(strings.TrimSuffix(g.PEMFile, "/push.pem"))
}

// A push over the binary protocol. Nothing but the client differs from package
// apns.
func Example() {
	gateway := startGateway() // in your program there is no such line
	defer gateway.Close()

	certificate, err := auth.LoadCertificate(gateway.PEMFile, "") // push.p12 or push.pem
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	client, err := legacy.New(legacy.Config{
		Certificate: certificate,
		Endpoint:    gateway.Endpoint, ExtraRoots: gateway.CA,
		SettleTime: 500 * time.Millisecond, // three seconds, if left out
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer client.Close(context.Background())

	_, err = client.Push(context.Background(), &apns.Notification{
		DeviceToken: "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0",
		Payload:     []byte(`{"aps":{"alert":"Hello"}}`),
	})
	fmt.Println(apns.OutcomeOf(err))
	// Output: accepted
}

// A bad device token ends the connection; the client makes another and sends
// again what the gateway threw away, and nothing else.
func ExampleClient_PushAll() {
	gateway := startGateway()
	defer gateway.Close()
	client := exampleClient(gateway)
	defer client.Close(context.Background())

	everybody := func(yield func(*apns.Notification) bool) {
		for i := range 1000 { // rows of your database
			n := &apns.Notification{
				DeviceToken: fmt.Sprintf("%064x", i),
				Payload:     []byte(`{"aps":{"alert":"Hello, everybody"}}`),
			}
			if i%500 == 499 {
				n.DeviceToken = "bad0" + n.DeviceToken[4:]
			}
			if !yield(n) {
				return
			}
		}
	}
	outcomes := map[apns.Outcome]int{}
	for result := range client.PushAll(context.Background(), everybody) {
		outcomes[result.Outcome]++
		if rejected, ok := errors.AsType[*apns.RejectedError](result.Err); ok {
			fmt.Println(rejected.Reason, "-", rejected.Cause)
		}
	}
	fmt.Println(outcomes[apns.Accepted], "accepted")
	// Output:
	// BadDeviceToken - status 8 (invalid device token)
	// BadDeviceToken - status 8 (invalid device token)
	// 998 accepted
}

// Which devices have removed the app.
func ExampleFeedback() {
	service := startFeedbackService()
	defer service.Close()
	certificate, err := auth.LoadCertificate(service.PEMFile, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	registered := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC) // from your database

	for entry, err := range legacy.Feedback(context.Background(), legacy.FeedbackConfig{
		Certificate: certificate, Endpoint: service.Endpoint, ExtraRoots: service.CA,
	}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if entry.DropDeviceToken(registered) {
			fmt.Println("forget the device token that died", entry.Since.UTC().Format(time.DateOnly))
		}
	}
	// Output: forget the device token that died 2026-01-01
}

// Reading what an old program wrote, from a capture.
func ExampleDecoder() {
	capture := unhex("01 01020304 6955b900 0020" + wireDevice + "0016" + wirePayload)
	decoder := legacy.NewDecoder(bytes.NewReader(capture), legacy.Limits{})
	var frame legacy.Frame
	for {
		err := decoder.Next(&frame)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("command %d, identifier %#x, %s\n", frame.Command, frame.Identifier, frame.Payload)
	}
	// Output: command 1, identifier 0x1020304, {"aps":{"alert":"hi"}}
}

func exampleClient(g *gateway) *legacy.Client {
	client, err := legacy.New(legacy.Config{
		Certificate: ids().client, Endpoint: g.Endpoint, ExtraRoots: g.CA,
		SettleTime: time.Hour, // what the last notification's refusal says of the others comes first
	})
	if err != nil {
		panic(err)
	}
	return client
}
