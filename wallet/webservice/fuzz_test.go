package webservice_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

// FuzzHandler sends anything to a service with one pass and one registration. It may
// answer only what the protocol has, and does nothing without the authentication
// token.
func FuzzHandler(f *testing.F) {
	registration := "/v1/devices/" + phone + "/registrations/" + passType
	f.Add("POST", registration+"/SN-1", "ApplePass "+secret, `{"pushToken":"00ff"}`, "", uint8(0))
	f.Add("DELETE", registration+"/SN-1", "ApplePass "+secret, "", "", uint8(0))
	f.Add("GET", registration+"?passesUpdatedSince=1", "", "", "", uint8(0))
	f.Add("GET", registration+"?passesUpdatedSince=99999999999999999999", "", "", "", uint8(0))
	f.Add("GET", "/v1/passes/"+passType+"/SN-1", "ApplePass "+secret, "", "Tue, 24 Nov 2026 09:41:00 GMT", uint8(0))
	f.Add("GET", "/v1/orders/"+orderType+"/SN-1", "AppleOrder "+secret, "", "0", uint8(1))
	f.Add("POST", "/v1/log", "", `{"logs":["x"]}`, "", uint8(1))
	f.Add("GET", "//v1/passes/%2e%2e/%00", "ApplePass", "{", "\xff", uint8(0))
	allowed := map[int]bool{200: true, 201: true, 204: true, 304: true, 400: true, 401: true, 404: true, 405: true, 413: true, 415: true}
	f.Fuzz(func(t *testing.T, method, path, authorization, body, since string, kind uint8) {
		request, err := http.NewRequest(method, "http://localhost/"+strings.TrimPrefix(path, "/"), strings.NewReader(body))
		if err != nil {
			return // net/http does not send it
		}
		request.Header.Set("Authorization", authorization)
		request.Header.Set("If-Modified-Since", since)
		i := &issuer{}
		store := &storetest.Memory{}
		handler, err := webservice.NewHandler(webservice.Config{
			Kind: webservice.Kind(kind % 2), Store: store, AuthenticationToken: i.authenticationToken, Package: i.pack,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range []string{passType, orderType} {
			id := webservice.ID{Type: typ, Serial: "SN-1"}
			i.put(id, "content")
			if _, err := store.Register(t.Context(), webservice.Registration{ID: id, Device: "other", DeviceToken: "00ff", Time: time.Unix(1, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if !allowed[w.Code] {
			t.Errorf("status %d", w.Code)
		}
		if strings.Contains(authorization, secret) {
			return
		}
		u, err := store.Updated(t.Context(), "other", passType, 0)
		if w.Code == 201 || strings.Contains(w.Body.String(), "content") || err != nil || len(u.Serials) != 1 {
			t.Errorf("it did as it was told: %d, %v, %v", w.Code, u, err)
		}
	})
}
