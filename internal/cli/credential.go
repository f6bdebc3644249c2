package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/auth"
)

func (a *app) credentialCommand() *cobra.Command {
	var passwordFile string
	cmd := &cobra.Command{
		Use:   "credential FILE",
		Short: "Say what a key or certificate file is and can be used for",
		Long: `Look into a signing key (.p8), a certificate (.p12, .pem, .cer) or anything that
may be one, and say what it is, what it can be used for, until when, and what is
wrong with it. Nothing secret is printed. The exit code is 3 if the file cannot
be used as a credential.`,
		Example: `  aviso credential AuthKey_ABC123DEFG.p8
  aviso credential push.p12 --password-file password.txt --json`,
		Args: oneArgument("file"),
		RunE: func(_ *cobra.Command, args []string) error { return a.credential(args[0], passwordFile) },
	}
	registerPassword(cmd.Flags(), &passwordFile)
	return cmd
}

func (a *app) credential(path, passwordFile string) error {
	password, err := a.password(passwordFile)
	if err != nil {
		return err
	}
	data, err := a.readFile(path, auth.MaxFileSize)
	if err != nil {
		return usage("%w", err)
	}
	report, err := auth.Inspect(path, data, password)
	if err != nil {
		return usage("%s: %s%s", path, inputProblem(err), passwordHint(err))
	}
	if a.json {
		if err := a.printJSON(struct {
			*auth.Report
			Usable bool `json:"usable"`
		}{report, report.Usable()}); err != nil {
			return err
		}
	} else {
		a.printReport(report, time.Now())
	}
	if !report.Usable() {
		return exit(ExitRejected)
	}
	return nil
}

// printReport prints an inspection as a table.
func (a *app) printReport(r *auth.Report, now time.Time) {
	line := func(name, text string) {
		if text != "" {
			a.printf("  %-14s %s\n", name, text)
		}
	}
	a.printf("%s: %s\n", a.paint(a.stdout, bold, r.Name), r.What)
	line("format", r.Format)
	if k := r.SigningKey; k != nil {
		id := k.KeyID
		if id == "" {
			id = "not in the file name; give it with --key-id"
		}
		line("key id", id)
		line("key", k.KeyType)
	}
	if r.Certificate != nil {
		a.printCertificate(r.Certificate, now, line)
	}
	for _, other := range r.Others {
		line("beside it", other.CommonName+", until "+other.NotAfter.UTC().Format(time.DateOnly))
	}
	private := "missing"
	switch {
	case r.HasPrivateKey && r.Encrypted:
		private = "there, protected by a password"
	case r.HasPrivateKey:
		private = "there"
	case r.Encrypted:
		private = "there, but it could not be opened"
	}
	line("private key", private)
	for i, use := range r.Uses {
		name := ""
		if i == 0 {
			name = "can be used"
		}
		a.printf("  %-14s %s\n", name, use)
	}
	if len(r.Uses) == 0 {
		line("can be used", "for nothing")
	}
	for _, f := range r.Findings {
		colour := map[auth.Severity]string{auth.SeverityError: red, auth.SeverityWarning: yellow, auth.SeverityNote: dim}[f.Severity]
		a.printf("  %s %s\n", a.paint(a.stdout, colour, fmt.Sprintf("%-14s", f.Severity)), f.Problem)
		if f.Fix != "" {
			a.printf("  %-14s %s\n", "", f.Fix)
		}
	}
}

func (a *app) printCertificate(c *auth.CertificateInfo, now time.Time, line func(name, text string)) {
	line("kind", c.Kind.String())
	line("name", c.CommonName)
	line("team id", c.TeamID)
	line("organization", c.Organization)
	var topics []string
	for _, t := range c.Topics {
		topics = append(topics, t.Name)
	}
	line("topics", strings.Join(topics, ", "))
	var environments []string
	if c.Sandbox {
		environments = append(environments, "sandbox")
	}
	if c.Production {
		environments = append(environments, "production")
	}
	line("environments", strings.Join(environments, ", "))
	valid := fmt.Sprintf("%s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	switch days := c.DaysLeft(now); {
	case c.Expired(now):
		valid += a.paint(a.stdout, red, ", expired")
	case days <= 30:
		valid += a.paint(a.stdout, yellow, fmt.Sprintf(", %d days left", days))
	default:
		valid += fmt.Sprintf(", %d days left", days)
	}
	line("valid", valid)
	line("key", c.KeyType)
	line("issuer", c.Issuer)
	line("serial number", c.SerialNumber)
	line("SHA-256", c.Fingerprint)
}
