package service

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

// The log endpoint is open to anybody. These bounds are ours.
const (
	// maxLogBody is what is read of a report, in bytes.
	maxLogBody = 64 << 10
	// MaxReports is how many texts of one request are looked at. Devices send
	// those of one failure, a handful.
	MaxReports = 32
	// MaxReportText is how much of a text is looked at, in bytes; what is beyond
	// it is cut off. Texts that were seen have some 300.
	MaxReportText = 2048
	// reportRate and reportBurst bound the lines that reports may add to the log
	// in a second, and at once. Those above are counted.
	reportRate  = 5
	reportBurst = 50
)

// Hint recognises a kind of report. Apple does not document the texts and changes
// them, so a hint goes by their nouns.
type Hint struct {
	// Words all appear in the text, in any order and case.
	Words []string
	// Kind names what failed in a word or two, for logs and metrics.
	Kind string
	// Advice says what it probably means and what to do, in a sentence.
	Advice string
}

// Report is what a device had to say about a failure. Text is as the device wrote
// it: it can name the device, the package and the address.
type Report struct {
	// Text has at most MaxReportText bytes of valid UTF-8.
	Text string
	// Kind and Advice are of the first Hint that fits; "other" and empty if none
	// does.
	Kind, Advice string
}

// DeviceLog is the handler of the log endpoint (POST /v1/log), where devices report
// what went wrong with what a service of ours gave them. It is safe for concurrent
// use.
//
// It always answers 200, as Apple asks: a device can do nothing about a refusal.
// It logs the kind of each report with its advice, never the text, at Warn, and
// within a rate. Whoever wants the texts gets them from Reports.
type DeviceLog struct {
	// Service names the service in log lines.
	Service string
	// Hints are tried in order.
	Hints []Hint
	// Reports, if set, is called with the reports of each request, at most
	// MaxReports. It delays the answer, and is called by many goroutines at once.
	Reports func(context.Context, []Report)
	// Logger is where the kinds go; nil means nowhere.
	Logger *slog.Logger

	limiter    atomic.Pointer[rate.Limiter]
	suppressed atomic.Int64
}

// ServeHTTP takes a report.
func (d *DeviceLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		WrongMethod(http.MethodPost).Write(w)
		return
	}
	var body struct {
		Logs []string `json:"logs"`
	}
	problem := ReadJSON(w, r, maxLogBody, &body)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if problem != nil {
		d.log(r.Context(), "unreadable", "a report to the log endpoint could not be read; it may not come from a device")
		return
	}
	reports := make([]Report, 0, min(len(body.Logs), MaxReports))
	for _, text := range body.Logs[:min(len(body.Logs), MaxReports)] {
		reports = append(reports, d.recognise(text))
	}
	for _, report := range reports {
		d.log(r.Context(), report.Kind, report.Advice)
	}
	if d.Reports != nil && len(reports) > 0 {
		d.Reports(r.Context(), reports)
	}
}

func (d *DeviceLog) recognise(text string) Report {
	text = cut(text, MaxReportText)
	lower := strings.ToLower(text)
	for _, hint := range d.Hints {
		if hint.fits(lower) {
			return Report{text, hint.Kind, hint.Advice}
		}
	}
	return Report{Text: text, Kind: "other"}
}

func (h *Hint) fits(lower string) bool {
	for _, word := range h.Words {
		if !strings.Contains(lower, strings.ToLower(word)) {
			return false
		}
	}
	return true
}

func (d *DeviceLog) log(ctx context.Context, kind, advice string) {
	if d.Logger == nil {
		return
	}
	limiter := d.limiter.Load()
	if limiter == nil {
		d.limiter.CompareAndSwap(nil, rate.NewLimiter(reportRate, reportBurst))
		limiter = d.limiter.Load()
	}
	if !limiter.Allow() {
		d.suppressed.Add(1)
		return
	}
	attributes := []slog.Attr{slog.String("service", d.Service), slog.String("kind", kind)}
	if advice != "" {
		attributes = append(attributes, slog.String("advice", advice))
	}
	if n := d.suppressed.Swap(0); n > 0 {
		attributes = append(attributes, slog.Int64("not_logged_before", n))
	}
	d.Logger.LogAttrs(ctx, slog.LevelWarn, "a device reported a failure to the web service", attributes...)
}

// cut shortens a text to limit bytes, at the beginning of a character.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
