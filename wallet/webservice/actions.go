package webservice

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/service"
)

// register answers 201 to a new registration and 200 to one that was there.
func (h *Handler) register(w http.ResponseWriter, r *http.Request, device string, id ID) *service.Problem {
	var body struct {
		PushToken string `json:"pushToken"`
	}
	if problem := service.ReadJSON(w, r, maxRegistration, &body); problem != nil {
		return problem
	}
	if p := apns.CheckDeviceToken(body.PushToken); p != nil {
		return service.Invalid(service.FieldProblem{Field: "pushToken", Problem: p.Message})
	}
	created, err := h.cfg.Store.Register(r.Context(), Registration{
		ID: id, Device: device, DeviceToken: body.PushToken, Time: h.cfg.Now(),
	})
	if err != nil {
		return h.failed(r, "a registration could not be stored", err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return nil
}

// unregister answers 200, whether there was a registration or not: the device may
// repeat itself.
func (h *Handler) unregister(w http.ResponseWriter, r *http.Request, device string, id ID) *service.Problem {
	if err := h.cfg.Store.Unregister(r.Context(), device, id); err != nil {
		return h.failed(r, "a registration could not be removed", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// list answers what changed since a tag, or 204. The device's identifier is the
// only secret there is in this request, and one that is not known gets the same
// answer as one for which nothing changed.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, device, typ string) *service.Problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return service.WrongMethod(http.MethodGet, http.MethodHead)
	}
	var wrong []service.FieldProblem
	if p := service.CheckSegment(h.words.device, device, maxDevice); p != nil {
		wrong = append(wrong, *p)
	}
	if p := service.CheckSegment(h.words.typ, typ, maxType); p != nil {
		wrong = append(wrong, *p)
	}
	if len(wrong) > 0 {
		return service.Invalid(wrong...)
	}
	updated, err := h.cfg.Store.Updated(r.Context(), device, typ, parseTag(r.URL.Query().Get(h.words.since)))
	if err != nil {
		return h.failed(r, "what changed could not be looked up", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	if len(updated.Serials) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	body, err := json.Marshal(map[string]any{
		h.words.serials: updated.Serials,
		h.words.tag:     strconv.FormatInt(updated.Sequence, 10), // a text: the device hands it back as it is
	})
	if err != nil {
		return h.failed(r, "what changed could not be written", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // whoever is gone needs no answer
	return nil
}

// parseTag reads a tag. One that is not ours is as good as none: the device then
// gets the whole list, and with it a tag that is. Refusing it would keep the device
// from ever getting one.
func parseTag(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// fetch answers with the package, or 304 if the device has it.
func (h *Handler) fetch(w http.ResponseWriter, r *http.Request, _ string, id ID) *service.Problem {
	// The time comes before the bytes. A change between the two gives new bytes an old
	// time, and the device fetches them twice; the other way round, it would keep the
	// old ones.
	modified, err := h.cfg.Store.Modified(r.Context(), id)
	if err != nil {
		return h.failed(r, "the time of a package could not be looked up", err)
	}
	header := w.Header()
	header.Set("Cache-Control", "private, no-cache") // kept by nobody but the device
	header.Set("Vary", "Authorization")
	if !modified.IsZero() {
		if notModified(r.Header, modified) {
			header.Set("Last-Modified", httpDate(modified, h.cfg.Now()))
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		header.Set("Last-Modified", httpDate(modified, h.cfg.Now()))
	}
	content, err := h.cfg.Package(r.Context(), id)
	if err == nil && len(content) == 0 {
		err = errors.New("it returned no bytes")
	}
	if err != nil {
		header.Del("Last-Modified")
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return &service.Problem{Status: http.StatusNotFound, Detail: "there is no such package any more"}
	case errors.Is(err, ErrGone):
		return &service.Problem{Status: http.StatusGone, Detail: "the package was withdrawn"}
	case err != nil:
		return h.failed(r, "Config.Package failed", err)
	}
	header.Set("Content-Type", h.words.contentType)
	header.Set("Content-Disposition", h.words.disposition)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	w.Write(content)
	return nil
}

// notModified reports whether the device has what was modified then. A field that
// cannot be read, is there more than once, or stands beside If-None-Match, does not
// count (RFC 9110 section 13.1.3).
func notModified(header http.Header, modified time.Time) bool {
	if header.Get("If-None-Match") != "" {
		return false
	}
	fields := header.Values("If-Modified-Since")
	if len(fields) != 1 {
		return false
	}
	since, err := http.ParseTime(fields[0])
	return err == nil && !modified.After(since)
}

// httpDate is the value of Last-Modified. The store's time can lie ahead, after
// several changes in a second or a clock that went back, and no server may say so
// (RFC 9110 section 8.8.2.1). It then says now, which is earlier: the device asks
// with it, and gets the same package again rather than missing one.
func httpDate(modified, now time.Time) string {
	if now = now.Truncate(time.Second); modified.After(now) {
		modified = now
	}
	return modified.UTC().Format(http.TimeFormat)
}
