package webservice_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/exampleapns" // stands in for Apple in this example
	"aviso.example/wallet/sqlite"
	"aviso.example/wallet/webservice"
)

// A web service for passes, and the pushes that tell devices to come.
func Example() {
	apple := exampleapns.Start() // in your program there is no such line
	defer apple.Close()
	folder, _ := os.MkdirTemp("", "wallet") // nor this one
	defer os.RemoveAll(folder)
	const passType = "pass.com.example.card"
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// What has to be remembered, in a file.
	store, err := sqlite.Open(filepath.Join(folder, "wallet.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	// What devices ask for. The passes are yours: signed when they are asked for, or
	// read from where you keep them.
	key := []byte("keep 32 random bytes in a secret") // for example
	handler, err := webservice.NewHandler(webservice.Config{
		Store: store,
		AuthenticationToken: func(_ context.Context, id webservice.ID) (string, error) {
			return webservice.DeriveAuthenticationToken(key, id)
		},
		Package: func(_ context.Context, id webservice.ID) ([]byte, error) {
			return []byte("the .pkpass of " + id.Serial), nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(handler) // yours is an http.Server with HTTPS and ReadTimeout
	defer server.Close()

	// What tells devices to ask, with the certificate that signs the passes.
	certificate, err := auth.LoadCertificate(apple.CertificateFile(passType), "")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := apns.New(apns.Config{Certificate: certificate, Endpoint: apple.Endpoint, ExtraRoots: apple.CA}) // leave out the last two
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	told := make(chan struct{})
	updater, err := webservice.NewUpdater(webservice.UpdaterConfig{
		Store: store, Senders: map[string]webservice.Sender{passType: client},
		OnOutcome: func(o webservice.PushOutcome) {
			fmt.Println("the push was", o.Outcome)
			close(told)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- updater.Run(ctx) }()

	// A device adds the pass.
	pass := webservice.ID{Type: passType, Serial: "4711"}
	authenticationToken, _ := webservice.DeriveAuthenticationToken(key, pass) // it stands in the pass, too
	request, _ := http.NewRequest("POST", server.URL+"/v1/devices/3f1a64a5/registrations/"+passType+"/4711", strings.NewReader(`{"pushToken":"`+apple.DeviceToken+`"}`))
	request.Header.Set("Authorization", "ApplePass "+authenticationToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	fmt.Println("registered:", response.StatusCode)

	// The pass changes: first where you keep it, then here.
	change, err := updater.Changed(ctx, passType, "4711")
	fmt.Println("devices to tell:", change.Queued, err)
	<-told
	stop()
	<-ended
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// registered: 201
	// devices to tell: 1 <nil>
	// the push was accepted
}
