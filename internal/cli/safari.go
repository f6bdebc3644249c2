package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/safari"
)

// maxPushPackage bounds what is read of a push package, in bytes.
const maxPushPackage = 8 << 20

func (a *app) safariCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "safari",
		Short: "Build and verify push packages, for Safari 15 and older",
		Long: `Build and verify push packages, with which websites asked Safari on the Mac for
permission to send notifications. Safari 26.4 dropped them; use Web Push for
anything new.`,
		Example: `  aviso safari new site
  aviso safari build site --cert website.p12 --wwdr AppleWWDRCAG4.cer
  aviso safari verify pushPackage.zip --root AppleIncRootCertificate.cer`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.safariNewCommand(), a.safariBuildCommand(), a.safariVerifyCommand())
	return cmd
}

func (a *app) safariBuildCommand() *cobra.Command {
	var with signing
	var out string
	var version int
	cmd := &cobra.Command{
		Use:   "build FOLDER",
		Short: "Build a push package from website.json and its icons",
		Long: `Build a signed push package from a folder that holds website.json and the six
icons in icon.iconset. Everything that is wrong is reported at once, and then the
exit code is 3. The package holds the authentication token of one user: the web
service makes one for each, as package safari does.`,
		Example: `  aviso safari build site --cert website.p12 --wwdr AppleWWDRCAG4.cer
  aviso safari build site --cert website.pem --package-version 1 -o v1.zip`,
		Args: oneArgument("folder"),
		RunE: func(_ *cobra.Command, args []string) error { return a.safariBuild(args[0], &with, out, version) },
	}
	with.register(cmd.Flags())
	cmd.Flags().StringVarP(&out, "output", "o", "pushPackage.zip", "`FILE` to write; it must not exist")
	cmd.Flags().IntVar(&version, "package-version", 2, "the `VERSION` that Safari asks for in the path of pushPackages: 1 or 2")
	return cmd
}

func (a *app) safariBuild(folder string, with *signing, out string, version int) error {
	if version != 1 && version != 2 {
		return usage("--package-version has to be 1 or 2")
	}
	certificate, key, intermediates, err := with.load(a)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return usage("%w", err)
	}
	defer root.Close()
	source, err := safari.ReadSource(root)
	var problems []safari.Problem
	if err = addProblems(&problems, err); err != nil {
		return usage("%s: %w", folder, err)
	}
	// The certificate is looked at even so, to report everything at once.
	builder, err := safari.NewBuilder(safari.BuilderConfig{
		Source: *source, Certificate: certificate, Key: key, Intermediates: intermediates,
	})
	if err = addProblems(&problems, err); err != nil {
		return err
	}
	if len(problems) > 0 {
		return a.rejectPackage(folder, struct {
			Problems []safari.Problem `json:"problems"`
		}{problems}, problems)
	}
	data, err := builder.Package(safari.Version(version), source.Website.AuthenticationToken)
	if err != nil {
		return err
	}
	if err := writeNew(out, data); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			File    string `json:"file"`
			Bytes   int    `json:"bytes"`
			Version int    `json:"version"`
		}{out, len(data), version})
	}
	a.printf("%s: push package of %s, version %d, %d bytes\n", out, source.Website.WebsitePushID, version, len(data))
	return nil
}

// writeNew writes a file that only this user can read: a package holds an
// authentication token. What is there is left alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usage("%s exists already; remove it, or name another file with -o", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

// addProblems takes the problems out of an error, and returns any other error. Of
// a path that has been reported, nothing new is added.
func addProblems(problems *[]safari.Problem, err error) error {
	e, ok := errors.AsType[*safari.Error](err)
	if !ok {
		return err
	}
	known := map[string]bool{}
	for _, p := range *problems {
		known[p.Path] = true
	}
	for _, p := range e.Problems {
		if !known[p.Path] {
			*problems = append(*problems, p)
		}
	}
	return nil
}

// rejectPackage prints problems, as JSON in a larger report.
func (a *app) rejectPackage(name string, report any, problems []safari.Problem) error {
	if a.json {
		if err := a.printJSON(report); err != nil {
			return err
		}
		return exit(ExitRejected)
	}
	for _, p := range problems {
		path := p.Path
		if path == "" {
			path = name
		}
		a.printf("%s %s: %s\n", a.paint(a.stdout, red, "error"), path, p.Problem)
		if p.Fix != "" {
			a.printf("      fix: %s\n", p.Fix)
		}
	}
	return exit(ExitRejected)
}

func (a *app) safariVerifyCommand() *cobra.Command {
	var roots []string
	var at, payload string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say everything that is wrong with a push package",
		Long: `Check a push package that anybody made: zip, files, website.json, icons, hashes,
signature, certificate. Without --root, the chain of certificates is checked as
far as the package holds it. The exit code is 3 if anything is wrong.`,
		Example: `  aviso safari verify pushPackage.zip --root AppleIncRootCertificate.cer
  aviso safari verify pushPackage.zip --payload push.json`,
		Args: oneArgument("file"),
		RunE: func(_ *cobra.Command, args []string) error { return a.safariVerify(args[0], roots, at, payload) },
	}
	cmd.Flags().StringArrayVar(&roots, "root", nil, "`FILE` of a root certificate that is trusted, such as AppleIncRootCertificate.cer")
	cmd.Flags().StringVar(&at, "at", "", "`TIME` at which the certificates must be valid, such as 2026-03-01T12:00:00Z; now by default")
	cmd.Flags().StringVar(&payload, "payload", "", "`FILE` with a notification, whose url-args are counted")
	return cmd
}

// safariReport is what --json prints. It leaves the authentication token out.
type safariReport struct {
	Valid         bool             `json:"valid"`
	Trusted       bool             `json:"trusted"`
	Version       int              `json:"version,omitempty"`
	WebsitePushID string           `json:"website_push_id,omitempty"`
	WebsiteName   string           `json:"website_name,omitempty"`
	Certificate   string           `json:"certificate,omitempty"`
	Expires       *time.Time       `json:"expires,omitempty"`
	SignedAt      *time.Time       `json:"signed_at,omitempty"`
	Digest        string           `json:"digest,omitempty"`
	Files         []string         `json:"files,omitempty"`
	Problems      []safari.Problem `json:"problems"`
}

func (a *app) safariVerify(path string, roots []string, at, payloadPath string) error {
	var config safari.VerifyConfig
	var err error
	if config.Roots, err = a.readCertificates("--root", roots); err != nil {
		return err
	}
	if at != "" {
		if config.At, err = time.Parse(time.RFC3339, at); err != nil {
			return usage("--at has to be a time such as 2026-03-01T12:00:00Z")
		}
	}
	data, err := a.readFile(path, maxPushPackage)
	if err != nil {
		return usage("%w", err)
	}
	var payload []byte
	if payloadPath != "" {
		if payload, err = a.readFile(payloadPath, maxLintFile); err != nil {
			return usage("--payload: %w", err)
		}
	}
	p, err := safari.Verify(bytes.NewReader(data), int64(len(data)), config)
	report := safariReport{Problems: []safari.Problem{}}
	if err = addProblems(&report.Problems, err); err != nil {
		return err
	}
	if payload != nil && p != nil {
		if err = addProblems(&report.Problems, safari.CheckURLArgs(p.Website.URLFormatString, payload)); err != nil {
			return err
		}
	}
	report.fill(p)
	switch {
	case len(report.Problems) > 0:
		return a.rejectPackage(path, report, report.Problems)
	case a.json:
		return a.printJSON(report)
	}
	a.printSafariReport(path, &report)
	return nil
}

func (r *safariReport) fill(p *safari.Package) {
	r.Valid = len(r.Problems) == 0
	if p == nil {
		return
	}
	r.Trusted, r.Version, r.Files = p.Trusted, int(p.Version), p.Files
	r.WebsitePushID, r.WebsiteName = p.Website.WebsitePushID, p.Website.WebsiteName
	if c := p.Certificate; c != nil {
		r.Certificate, r.Expires = c.Subject.CommonName, new(c.NotAfter.UTC())
		r.Digest = p.Digest.String()
	}
	if !p.SigningTime.IsZero() {
		r.SignedAt = new(p.SigningTime.UTC())
	}
}

func (a *app) printSafariReport(path string, r *safariReport) {
	line := func(name, text string) { a.printf("  %-12s %s\n", name, text) }
	a.printf("%s: %s\n", a.paint(a.stdout, bold, path), a.paint(a.stdout, green, "a push package in order"))
	line("website", fmt.Sprintf("%q, %s", r.WebsiteName, r.WebsitePushID))
	line("version", fmt.Sprint(r.Version))
	trusted := "the chain is complete; give --root to check who is at its end"
	if r.Trusted {
		trusted = "the chain leads to a root that was given"
	}
	line("signed by", fmt.Sprintf("%q, until %s", r.Certificate, r.Expires.Format(time.DateOnly)))
	line("", trusted)
	if r.SignedAt != nil {
		line("signed at", r.SignedAt.Format(time.DateTime)+" UTC, "+r.Digest)
	}
}
