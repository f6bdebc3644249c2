package api

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"aviso.example/apns"
	"aviso.example/engine"
)

// metrics are what /metrics gives. Labels are app, environment, lane, outcome and
// reason: never a device token or an id, of which there are too many and which
// are nobody's business.
type metrics struct {
	registry      *prometheus.Registry
	handler       http.Handler
	requests      *prometheus.CounterVec
	messages      *prometheus.CounterVec
	notifications *prometheus.CounterVec
	refused       *prometheus.CounterVec
}

func newMetrics(f *figures, version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry:      prometheus.NewRegistry(),
		requests:      counter("aviso_http_requests_total", "Requests that were answered.", "route", "code"),
		messages:      counter("aviso_messages_accepted_total", "Messages accepted by POST /v1/messages: they are on disk.", "app", "environment"),
		notifications: counter("aviso_notifications_accepted_total", "Notifications accepted, in messages and in batches: one for each device token.", "app", "environment", "lane"),
		refused:       counter("aviso_notifications_refused_total", "Device tokens and lines of batches that were wrong.", "app", "environment"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "aviso_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.requests, m.messages, m.notifications, m.refused, build, &engineCollector{f},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return m
}

// request counts a request that was answered.
func (m *metrics) request(r *http.Request, status int) {
	route := r.Pattern
	if route == "" || route == "/" {
		route = "none" // refused at the door, or nothing is there
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

// accepted counts notifications that are on disk.
func (m *metrics) accepted(app, environment string, lane engine.Lane, accepted, refused int) {
	m.notifications.WithLabelValues(app, environment, lane.String()).Add(float64(accepted))
	if refused > 0 {
		m.refused.WithLabelValues(app, environment).Add(float64(refused))
	}
}

// describe makes a description of a figure that the engine keeps.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descUp         = describe("aviso_up", "Whether the log gave the figures below.")
	descDeliveries = describe("aviso_deliveries_total", "Verdicts on notifications since the engine began, by state and by Apple's word. retrying is not an end.", "app", "environment", "lane", "outcome", "reason")
	descChunks     = describe("aviso_queue_chunks", "Chunks on disk that are not done; each has up to 1024 notifications.", "app", "environment", "lane")
	descBytes      = describe("aviso_queue_bytes", "Their size.", "app", "environment", "lane")
	descOldest     = describe("aviso_queue_oldest_seconds", "How long ago the oldest of them was accepted.", "app", "environment", "lane")
	descUnderWay   = describe("aviso_under_way", "Notifications handed to the client without a verdict on disk.", "app", "environment", "lane")
	descConns      = describe("aviso_apns_connections", "Open connections to APNs.", "app", "environment", "lane")
	descStreams    = describe("aviso_apns_streams", "Requests under way on them.", "app", "environment", "lane")
	descLimit      = describe("aviso_apns_stream_limit", "Requests that APNs allows on them.", "app", "environment", "lane")
	descDials      = describe("aviso_apns_dials_total", "Attempts to connect.", "app", "environment", "lane")
	descDialsBad   = describe("aviso_apns_dial_failures_total", "Those that failed.", "app", "environment", "lane")
	descPaused     = describe("aviso_app_paused", "1 while somebody has the app paused.", "app")
	descHeld       = describe("aviso_app_held", "1 while the engine sends nothing for the app by itself, since APNs refuses its credential or has trouble.", "app", "environment")
	descExpiry     = describe("aviso_certificate_expiry_timestamp_seconds", "When an app's certificate expires, in UNIX seconds; a signing key never does.", "app", "environment")
	descDead       = describe("aviso_dead_tokens", "Device tokens that are not sent to, since APNs called them dead.")
	descLog        = describe("aviso_log_bytes", "Size of the log on disk; 0 on a cluster.")
	descLogLimit   = describe("aviso_log_limit_bytes", "How large it may get; 0 on a cluster.")
	descAside      = describe("aviso_chunks_aside", "Chunks that cannot be read and were set aside; each wants a person.")
	descStrangers  = describe("aviso_unconfigured_notifications", "Notifications that wait for an app that is not configured, or has no credential there.", "app", "environment")
	descLost       = describe("aviso_log_lost_messages", "Messages of the log that cannot be read any more, since its files are damaged; each wants a person.", "stream")
	descLogFull    = describe("aviso_log_full", "1 while nothing is accepted for want of space.")
)

// engineCollector asks the engine whenever it is asked.
type engineCollector struct{ figures *figures }

// Describe sends nothing: which figures there are follows from the apps.
func (c *engineCollector) Describe(chan<- *prometheus.Desc) {}

// Collect gives what the engine counts.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, value, labels...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	s, err := c.figures.get(context.Background()) // bounded by snapshotTime
	send(descUp, gauge, flag(err == nil))
	for _, info := range c.figures.engine.Apps() {
		for e, at := range info.Expires {
			if !at.IsZero() {
				send(descExpiry, gauge, float64(at.Unix()), info.ID, apns.Environment(e).String())
			}
		}
	}
	if err != nil {
		return
	}
	send(descDead, gauge, float64(s.Suppressed))
	send(descLog, gauge, float64(s.LogBytes))
	send(descLogLimit, gauge, float64(s.LogLimit))
	send(descAside, gauge, float64(s.Aside))
	send(descLogFull, gauge, flag(s.Full))
	for _, x := range s.Strangers {
		send(descStrangers, gauge, float64(x.Notifications), x.App, x.Environment.String())
	}
	for _, x := range s.Lost {
		send(descLost, gauge, float64(x.Messages), x.Stream)
	}
	for i := range s.Apps {
		app := &s.Apps[i]
		send(descPaused, gauge, flag(app.Control.Paused), app.App)
		for _, h := range app.Holds {
			send(descHeld, gauge, 1, app.App, h.Environment.String())
		}
		for j := range app.Paths {
			p := &app.Paths[j]
			labels := []string{app.App, p.Environment.String(), p.Lane.String()}
			for o, n := range p.Outcomes {
				send(descDeliveries, counter, float64(n), append(labels[:3:3], o.State.String(), string(o.Reason))...)
			}
			oldest := 0.0
			if !p.OldestQueued.IsZero() {
				oldest = max(0, time.Since(p.OldestQueued).Seconds())
			}
			send(descChunks, gauge, float64(p.QueuedChunks), labels...)
			send(descBytes, gauge, float64(p.QueuedBytes), labels...)
			send(descOldest, gauge, oldest, labels...)
			send(descUnderWay, gauge, float64(p.UnderWay), labels...)
			send(descConns, gauge, float64(p.Client.Connections), labels...)
			send(descStreams, gauge, float64(p.Client.Streams), labels...)
			send(descLimit, gauge, float64(p.Client.StreamLimit), labels...)
			send(descDials, counter, float64(p.Client.Dials), labels...)
			send(descDialsBad, counter, float64(p.Client.DialFailures), labels...)
		}
	}
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (a *API) metricsRoute() {
	a.raw(huma.Operation{
		OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{"Operation"},
		Summary: "Figures for Prometheus",
		Parameters: []*huma.Param{{
			Name: "name[]", In: "query", Description: "Only these metrics.", Explode: new(true),
			Schema: &huma.Schema{Type: huma.TypeArray, Items: text("")},
		}},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, a.metrics.handler.ServeHTTP)
}

// messageAccepted counts a message that is on disk.
func (m *metrics) messageAccepted(app, environment string, receipt *engine.Receipt) {
	m.messages.WithLabelValues(app, environment).Inc()
	m.accepted(app, environment, receipt.Lane, receipt.Message.Count-len(receipt.Refused), len(receipt.Refused))
}
