package safari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"aviso.example/internal/service"
)

// ServiceConfig says what a [Service] serves.
type ServiceConfig struct {
	// Builders make the packages, one for each website.
	Builders []*Builder
	// Users say who the user behind a package is.
	Users Users
	// Store keeps the registrations.
	Store Store
	// Reports, if set, is called with the texts that Safari sent to the log
	// endpoint, at most 32 at once. Anybody can send them, and they name devices.
	Reports func(context.Context, []Report)
	// Logger hears what failed here, and what kind of failure Safari reported,
	// with advice. Nil means nobody. No device token, authentication token or text
	// of Safari is logged, unless an error of Users or Store holds one.
	Logger *slog.Logger
}

// Report is a text that Safari sent to the log endpoint.
type Report struct {
	// Text is as Safari wrote it, at most 2,048 bytes.
	Text string
	// Advice says what it probably means and what to do; empty if nobody knows.
	Advice string
}

// Service answers the calls that Safari makes, for both versions:
//
//	POST   {webServiceURL}/{version}/pushPackages/{websitePushID}
//	POST   {webServiceURL}/{version}/devices/{deviceToken}/registrations/{websitePushID}
//	DELETE {webServiceURL}/{version}/devices/{deviceToken}/registrations/{websitePushID}
//	POST   {webServiceURL}/{version}/log
//
// If webServiceURL has a path, put [http.StripPrefix] around it. It is safe for
// concurrent use. Put a limit on the rate of pushPackages in front of it: each
// call costs an RSA signature, and anybody can make it.
//
// 200 is the only success. 400 is a malformed call, 401 a wrong authentication
// token, 403 a user who may not have a package, 404 another path or website, 405
// another method, 413 a body that is too long, 503 a failure here; Safari comes
// back later.
type Service struct {
	config   ServiceConfig
	builders map[string]*Builder
	log      service.DeviceLog
}

// maxUserInfo bounds the body of pushPackages in bytes. It is ours; a page has
// little to say.
const maxUserInfo = 16 << 10

// NewService checks the configuration.
func NewService(config ServiceConfig) (*Service, error) {
	var problems []error
	need := func(name string, missing bool) {
		if missing {
			problems = append(problems, fmt.Errorf("safari: ServiceConfig.%s is missing", name))
		}
	}
	need("Builders", len(config.Builders) == 0)
	// A nil pointer of ours in the interface is as good as nothing.
	signed, ok := config.Users.(*SignedUsers)
	need("Users", config.Users == nil || ok && signed == nil)
	memory, inMemory := config.Store.(*MemoryStore)
	need("Store", config.Store == nil || inMemory && memory == nil)
	if signed != nil {
		if err := signed.Check(); err != nil {
			problems = append(problems, err)
		}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{config: config, builders: map[string]*Builder{}}
	for i, b := range config.Builders {
		if b == nil {
			problems = append(problems, fmt.Errorf("safari: ServiceConfig.Builders[%d] is nil", i))
			continue
		}
		if s.builders[b.WebsitePushID()] != nil {
			problems = append(problems, fmt.Errorf("safari: ServiceConfig.Builders has two for %s", b.WebsitePushID()))
		}
		s.builders[b.WebsitePushID()] = b
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	s.log.Service, s.log.Hints, s.log.Logger = "safari", hints, config.Logger
	if config.Reports != nil {
		s.log.Reports = func(ctx context.Context, reports []service.Report) {
			ours := make([]Report, len(reports))
			for i, r := range reports {
				ours[i] = Report{Text: r.Text, Advice: r.Advice}
			}
			config.Reports(ctx, ours)
		}
	}
	return s, nil
}

// ServeHTTP answers one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := service.Segments(r)
	if !ok || len(path) == 0 || path[0] != "v1" && path[0] != "v2" {
		service.NoSuchPath("it begins with /v1/ or /v2/ after webServiceURL").Write(w)
		return
	}
	version := Version1
	if path[0] == "v2" {
		version = Version2
	}
	var problem *service.Problem
	switch {
	case len(path) == 2 && path[1] == "log":
		s.log.ServeHTTP(w, r)
	case len(path) == 3 && path[1] == "pushPackages":
		problem = s.pushPackage(w, r, version, path[2])
	case len(path) == 5 && path[1] == "devices" && path[3] == "registrations":
		problem = s.registration(w, r, path[4], path[2])
	default:
		problem = service.NoSuchPath("after the version come pushPackages/…, devices/…/registrations/… or log")
	}
	if problem != nil {
		problem.Write(w)
	}
}

func (s *Service) pushPackage(w http.ResponseWriter, r *http.Request, version Version, websitePushID string) *service.Problem {
	if r.Method != http.MethodPost {
		return service.WrongMethod(http.MethodPost)
	}
	builder := s.builders[websitePushID]
	if builder == nil {
		return noSuchWebsite()
	}
	var userInfo json.RawMessage
	if problem := service.ReadJSON(w, r, maxUserInfo, &userInfo); problem != nil {
		return problem
	}
	issued, err := s.config.Users.Issue(r.Context(), websitePushID, userInfo)
	if errors.Is(err, ErrRefused) {
		return &service.Problem{Status: http.StatusForbidden, Detail: "there is no package for this user"}
	}
	if err != nil {
		return s.failed(r, "issue an authentication token", err)
	}
	data, err := builder.Package(version, issued)
	if err != nil {
		return s.failed(r, "build a push package", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	// It holds an authentication token.
	h.Set("Cache-Control", "no-store")
	w.Write(data)
	return nil
}

func (s *Service) registration(w http.ResponseWriter, r *http.Request, websitePushID, deviceToken string) *service.Problem {
	if r.Method != http.MethodPost && r.Method != http.MethodDelete {
		return service.WrongMethod(http.MethodPost, http.MethodDelete)
	}
	presented, problem := service.ApplePushNotifications.Presented(r)
	if problem != nil {
		return problem
	}
	if s.builders[websitePushID] == nil {
		return noSuchWebsite()
	}
	if problem := checkDeviceToken(deviceToken); problem != nil {
		return service.Invalid(*problem)
	}
	user, err := s.config.Users.Authenticate(r.Context(), websitePushID, presented)
	if errors.Is(err, ErrRefused) {
		return service.ApplePushNotifications.Refused()
	}
	if err != nil {
		return s.failed(r, "authenticate", err)
	}
	do, what := s.config.Store.Register, "register a device"
	if r.Method == http.MethodDelete {
		do, what = s.config.Store.Unregister, "unregister a device"
	}
	if err := do(r.Context(), Registration{websitePushID, strings.ToLower(deviceToken), user}); err != nil {
		return s.failed(r, what, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

func noSuchWebsite() *service.Problem {
	return &service.Problem{Status: http.StatusNotFound, Detail: "this service has no website of that websitePushID"}
}

// maxDeviceToken bounds a device token in hexadecimal digits. They had 64 for
// long, and Apple asks not to count on it.
const maxDeviceToken = 200

func checkDeviceToken(text string) *service.FieldProblem {
	if problem := service.CheckSegment("deviceToken", text, maxDeviceToken); problem != nil {
		return problem
	}
	if len(text)%2 != 0 || strings.Trim(text, "0123456789abcdefABCDEF") != "" {
		return &service.FieldProblem{Field: "deviceToken", Problem: "is not an even number of hexadecimal digits"}
	}
	return nil
}

// failed tells the log what happened, and Safari only that something did.
func (s *Service) failed(r *http.Request, what string, err error) *service.Problem {
	if r.Context().Err() == nil {
		s.config.Logger.ErrorContext(r.Context(), "the Safari web service could not answer", "failed_to", what, "error", err)
	}
	return service.Unavailable()
}
