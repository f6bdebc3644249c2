package webpush_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"aviso.example/webpush"
)

// pushService stands in for Apple's and a browser: it decrypts what is sent to
// the subscription it returns, and answers 410 where the path says "gone".
func pushService() (server *httptest.Server, ca []byte, subscriptions []*webpush.Subscription) {
	browser, err := webpush.NewReceiver()
	check(err)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		check(err)
		payload, err := browser.Decrypt(body)
		check(err)
		if strings.HasSuffix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusGone)
			return
		}
		fmt.Printf("the browser got %s\n", payload)
		w.WriteHeader(http.StatusCreated)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	for _, path := range []string{"/ada", "/gone"} {
		s, err := browser.Subscription(server.URL + path)
		check(err)
		subscriptions = append(subscriptions, s)
	}
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), subscriptions
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example() {
	server, ca, subscriptions := pushService()
	defer server.Close()
	key, err := webpush.GenerateKey() // once; then webpush.LoadKey
	check(err)

	client, err := webpush.New(webpush.Config{
		Key:           key,
		Subject:       "mailto:push@example.com",
		AllowLoopback: true, // for this example only
		ExtraRoots:    ca,
	})
	check(err)
	defer client.Close(context.Background())

	payload, err := (&webpush.Declarative{
		Title: "New message", Body: "Ada: hello", Navigate: "https://example.com/inbox",
	}).Payload()
	check(err)
	message := &webpush.Message{Payload: payload, TTL: time.Hour, Topic: "inbox"}
	for _, subscription := range subscriptions {
		receipt, err := client.Send(context.Background(), subscription, message)
		if rejected, ok := errors.AsType[*webpush.RejectedError](err); ok && rejected.Gone() {
			fmt.Println("delete the subscription")
			continue
		}
		check(err)
		fmt.Println("accepted with status", receipt.Status)
	}
	// Output:
	// the browser got {"web_push":8030,"notification":{"title":"New message","navigate":"https://example.com/inbox","body":"Ada: hello"}}
	// accepted with status 201
	// delete the subscription
}

func ExampleClient_SendAll() {
	server, ca, subscriptions := pushService()
	defer server.Close()
	key, err := webpush.GenerateKey()
	check(err)
	client, err := webpush.New(webpush.Config{Key: key, Subject: "https://example.com/contact", AllowLoopback: true, ExtraRoots: ca})
	check(err)
	defer client.Close(context.Background())

	message := &webpush.Message{Payload: []byte("hello")}
	pushes := []webpush.Push{
		{Subscription: subscriptions[0], Message: message, Tag: "row 7"},
		{Subscription: subscriptions[1], Message: message, Tag: "row 8"},
	}
	for i, result := range client.SendAll(context.Background(), slices.Values(pushes)) {
		if result.Outcome == webpush.Rejected {
			fmt.Println("number", i, "which is", result.Push.Tag, "was rejected")
		}
	}
	// Unordered output:
	// the browser got hello
	// number 1 which is row 8 was rejected
}
