package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"

	"aviso.example/apns"
	"aviso.example/auth"
)

// ours is Aviso's client, by PushAll or by Push.
type ours struct {
	settings *settings
	messages []*message
	client   *apns.Client
	times    atomic.Pointer[stopwatch] // where OnOutcome writes
}

func newOurs(s *settings, messages []*message) (*ours, error) {
	key, err := auth.LoadSigningKey(s.KeyFile, s.KeyID)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	o := &ours{settings: s, messages: messages}
	cfg := apns.Config{
		Key: key, TeamID: s.TeamID, Endpoint: s.endpoint(), ExtraRoots: ca, MaxConnections: s.Connections,
		// Connections beyond the first are opened while all are full, so there has
		// to be more than they take.
		BatchWindow: max(apns.DefaultBatchWindow, 2*s.InFlight*s.Connections),
		MaxInFlight: max(apns.DefaultMaxInFlight, s.InFlight*s.Connections),
	}
	if s.Latency {
		// As many under way as with everybody else; waiting for one's turn is
		// not the peer's latency.
		cfg.BatchWindow = s.InFlight * s.Connections
		cfg.Hooks.OnOutcome = func(_ *apns.Notification, e apns.OutcomeEvent) {
			if times := o.times.Load(); times != nil {
				times.add(e.Took)
			}
		}
	}
	o.client, err = apns.New(cfg)
	return o, err
}

func (o *ours) connections() int { return o.client.Stats().Connections }

func (o *ours) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	o.client.Close(ctx)
}

type batch struct{ *ours }

func newBatch(s *settings, messages []*message) (sender, error) {
	o, err := newOurs(s, messages)
	return batch{o}, err
}

func (b batch) send(ctx context.Context, n int, times *stopwatch) (accepted int, err error) {
	b.times.Store(times)
	input := func(yield func(*apns.Notification) bool) {
		for i := range n {
			if !yield(&b.messages[i%ring].aviso) {
				return
			}
		}
	}
	for r := range b.client.PushAll(ctx, input) {
		if r.Err != nil {
			err = r.Err
			continue
		}
		accepted++
	}
	if accepted > 0 {
		err = nil // a few that failed are shown as a number
	}
	return accepted, err
}

type push struct{ *ours }

func newPush(s *settings, messages []*message) (sender, error) {
	o, err := newOurs(s, messages)
	return push{o}, err
}

func (p push) send(ctx context.Context, n int, times *stopwatch) (int, error) {
	// One deadline for all, as a caller with a deadline would set it.
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	return spread(ctx, p.settings, n, times, func(_, i int) error {
		_, err := p.client.Push(ctx, &p.messages[i%ring].aviso)
		return err
	})
}

// unknownConnections is what clients answer that do not tell.
const unknownConnections = -1

// apns2Sender is github.com/sideshow/apns2: a client for each connection, many
// goroutines.
type apns2Sender struct {
	settings *settings
	clients  []*apns2.Client
	list     []*apns2.Notification
}

func newAPNS2(s *settings, messages []*message) (sender, error) {
	roots, err := loadRoots(s.CAFile)
	if err != nil {
		return nil, err
	}
	key, err := token.AuthKeyFromFile(s.KeyFile)
	if err != nil {
		return nil, err
	}
	a := &apns2Sender{settings: s}
	for range s.Connections {
		client := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: s.KeyID, TeamID: s.TeamID})
		client.Host = "https://" + s.endpoint()
		//lint:ignore SA1019 apns2 is made of it
		client.HTTPClient.Transport.(*http2.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
		a.clients = append(a.clients, client)
	}
	for _, m := range messages {
		a.list = append(a.list, &apns2.Notification{
			ApnsID: m.id, DeviceToken: m.device, Topic: s.Topic, Priority: apns2.PriorityHigh, PushType: apns2.PushTypeAlert, Payload: m.payload,
		})
	}
	return a, nil
}

func (a *apns2Sender) send(ctx context.Context, n int, times *stopwatch) (int, error) {
	return spread(ctx, a.settings, n, times, func(worker, i int) error {
		res, err := a.clients[worker%len(a.clients)].PushWithContext(ctx, a.list[i%ring])
		if err == nil && !res.Sent() {
			err = errors.New(res.Reason)
		}
		return err
	})
}

func (a *apns2Sender) connections() int { return unknownConnections }

func (a *apns2Sender) close() {
	for _, c := range a.clients {
		c.CloseIdleConnections()
	}
}

// netHTTP is the standard library with the same requests.
type netHTTP struct {
	settings *settings
	messages []*message
	bearer   []string
	clients  []*http.Client
}

func newNetHTTP(s *settings, messages []*message) (sender, error) {
	roots, err := loadRoots(s.CAFile)
	if err != nil {
		return nil, err
	}
	bearer, err := bearer(s)
	if err != nil {
		return nil, err
	}
	h := &netHTTP{settings: s, messages: messages, bearer: []string{bearer}}
	for range s.Connections {
		h.clients = append(h.clients, &http.Client{
			Timeout: time.Minute,
			Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableCompression: true,
				HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
			},
		})
	}
	return h, nil
}

func (h *netHTTP) send(ctx context.Context, n int, times *stopwatch) (int, error) {
	url := "https://" + h.settings.endpoint() + "/3/device/"
	topic, pushType, priority, agent := []string{h.settings.Topic}, []string{"alert"}, []string{"10"}, []string{""}
	return spread(ctx, h.settings, n, times, func(worker, i int) error {
		m := h.messages[i%ring]
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+m.device, bytes.NewReader(m.payload))
		if err != nil {
			return err
		}
		req.Header = http.Header{
			"Authorization": h.bearer, "Apns-Topic": topic, "Apns-Push-Type": pushType, "Apns-Priority": priority,
			"Apns-Id": {m.id}, "User-Agent": agent,
		}
		res, err := h.clients[worker%len(h.clients)].Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

func (h *netHTTP) connections() int { return unknownConnections }

func (h *netHTTP) close() {
	for _, c := range h.clients {
		c.CloseIdleConnections()
	}
}

func loadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// bearer is the value of the authorization field, for clients that make none.
func bearer(s *settings) (string, error) {
	key, err := auth.LoadSigningKey(s.KeyFile, s.KeyID)
	if err != nil {
		return "", err
	}
	tokens, err := auth.NewProviderTokens(auth.ProviderTokensConfig{Key: key, TeamID: s.TeamID})
	if err != nil {
		return "", err
	}
	current, err := tokens.Current()
	if err != nil {
		return "", err
	}
	return current.Authorization(), nil
}
