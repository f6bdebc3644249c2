package broadcast

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"aviso.example/apns"
	"aviso.example/internal/proto"
)

// maxList is what is read of a list of channels, in bytes: ten thousand ids of
// some 100 characters. Apple gives no size of an id; those seen have 20 to 30.
const maxList = 1 << 20

// Manager creates, reads, lists and deletes the channels of one app in one
// environment. It is safe for concurrent use. Its connection, to a host and port
// that serve nothing else, is made with the first request; requests are few, so
// close it when the work is done.
type Manager struct {
	client   *apns.Client
	bundleID string
}

// NewManager makes a manager from the Config of a client that sends pushes:
// credential, environment, proxy, roots and time limits are the same, and
// BundleID is required. Host, AlternativePort and Hooks for notifications are of
// no use here and ignored. Endpoint, if set, is where channels are managed; the
// simulator does it where it takes pushes. Share one ProviderTokens with the
// client, instead of giving both the Key, so that APNs sees few provider tokens.
// It opens no connection yet.
func NewManager(cfg apns.Config) (*Manager, error) {
	if p := apns.CheckBundleID(cfg.BundleID); p != nil {
		return nil, fmt.Errorf("broadcast: Config.%s %s", p.Field, p.Message)
	}
	cfg.Host, cfg.AlternativePort = apns.HostManagement, false
	client, err := apns.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Manager{client, cfg.BundleID}, nil
}

// Create makes a channel. APNs chooses the id, and 10,000 channels are all that an
// app can have (CannotCreateChannelConfig).
//
// If the outcome is Unknown, a channel may have been made that nobody has the id
// of: look for one that List returns and you do not know.
func (m *Manager) Create(ctx context.Context, policy StoragePolicy) (Channel, error) {
	if policy != StoreNothing && policy != StoreLatest {
		return Channel{}, invalid("policy", fmt.Sprintf("is %d; it is StoreNothing (0) or StoreLatest (1)", policy))
	}
	body, err := json.Marshal(map[string]any{proto.MemberStoragePolicy: policy, proto.MemberPushType: proto.ChannelPushType})
	if err != nil {
		return Channel{}, err
	}
	a, err := m.client.Do(ctx, &apns.Request{Method: http.MethodPost, Path: m.path(proto.PathChannels), Body: body})
	if err != nil {
		return Channel{}, err
	}
	if a.ChannelID == "" {
		return Channel{}, m.strange(a, "without apns-channel-id")
	}
	return Channel{ID: a.ChannelID, BundleID: m.bundleID, Policy: policy}, nil
}

// Read returns a channel with its policy. One that was deleted, or belongs to
// another app or the other environment, is ChannelNotRegistered.
func (m *Manager) Read(ctx context.Context, id string) (Channel, error) {
	a, err := m.about(ctx, http.MethodGet, id)
	if err != nil {
		return Channel{}, err
	}
	return m.parseChannel(id, a)
}

func (m *Manager) parseChannel(id string, a apns.Answer) (Channel, error) {
	var body struct {
		Policy *StoragePolicy `json:"message-storage-policy"`
	}
	if json.Unmarshal(a.Body, &body) != nil || body.Policy == nil {
		return Channel{}, m.strange(a, "without a storage policy")
	}
	return Channel{ID: id, BundleID: m.bundleID, Policy: *body.Policy}, nil
}

// Delete deletes a channel for good: its id never comes back. A message that is
// stored may still go out.
//
// If the outcome is Unknown, Delete again; ChannelNotRegistered then says that the
// first one worked.
func (m *Manager) Delete(ctx context.Context, id string) error {
	_, err := m.about(ctx, http.MethodDelete, id)
	return err
}

// List returns the ids of all channels of the app in this environment, in APNs's
// order.
func (m *Manager) List(ctx context.Context) ([]string, error) {
	a, err := m.client.Do(ctx, &apns.Request{
		Method: http.MethodGet, Path: m.path(proto.PathAllChannels), Repeatable: true, MaxAnswer: maxList,
	})
	if err != nil {
		return nil, err
	}
	return m.parseList(a)
}

func (m *Manager) parseList(a apns.Answer) ([]string, error) {
	var body struct {
		Channels *[]string `json:"channels"`
	}
	if json.Unmarshal(a.Body, &body) != nil || body.Channels == nil {
		return nil, m.strange(a, "that is no list of channels")
	}
	return *body.Channels, nil
}

// Close closes the connection. See apns.Client.Close.
func (m *Manager) Close(ctx context.Context) error { return m.client.Close(ctx) }

// Endpoint returns host and port that the manager connects to.
func (m *Manager) Endpoint() string { return m.client.Endpoint() }

// about asks for something that is done to one channel. Its id travels in the
// header, never in the path or the body.
func (m *Manager) about(ctx context.Context, method, id string) (apns.Answer, error) {
	if p := apns.CheckChannelID(id); p != nil {
		return apns.Answer{}, invalid(p.Field, p.Message)
	}
	return m.client.Do(ctx, &apns.Request{
		Method: method, Path: m.path(proto.PathChannels), ChannelID: id, Repeatable: method == http.MethodGet,
	})
}

func (m *Manager) path(what string) string { return proto.PathApps + m.bundleID + what }

func (m *Manager) strange(a apns.Answer, what string) error {
	return fmt.Errorf("broadcast: %s answered %d %s; is it APNs?", m.client.Endpoint(), a.Status, what)
}

// invalid is the outcome of what is not even asked.
func invalid(field, message string) error {
	return &apns.NotSentError{Cause: &apns.InvalidError{Problems: []apns.Problem{{Field: field, Message: message}}}}
}
