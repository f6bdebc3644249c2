package cli

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/wallet"
)

type walletVerifyFlags struct {
	roots, wwdr []string
	at          string
}

func (f *walletVerifyFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringArrayVar(&f.roots, "root", nil, "trusted root certificate `FILE` (.cer or .pem), such as AppleIncRootCertificate.cer")
	flags.StringArrayVar(&f.wwdr, "wwdr", nil, "intermediate certificate `FILE` to judge by if the package lacks it")
	flags.StringVar(&f.at, "at", "", "`TIME` at which the certificates have to be valid, such as 2026-03-01T12:00:00Z (default now)")
}

func (a *app) walletVerifyCommand() *cobra.Command {
	f := &walletVerifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a signed pass that anybody made",
		Long: `Verify a signed pass as a device does before it shows it: that the manifest lists
exactly the files there are with their hashes, that the signature is over the
manifest, that the certificate is a Pass Type ID certificate of the pass type and
the team that pass.json names, that it is not expired, and that it leads over the
intermediate in the package to a root. Passes in a .pkpasses file are verified
one by one. What pass.json says is the business of aviso wallet check.

Without --root the chain is followed and not judged: anybody can have made the
package. Apple's root is AppleIncRootCertificate.cer, from
https://www.apple.com/certificateauthority/.

The exit code is 3 if something is wrong with the package, else 0.`,
		Example: `  aviso wallet verify concert.pkpass --root AppleIncRootCertificate.cer
  aviso wallet verify concert.pkpass --json`,
		Args: oneArgument("package"),
		RunE: func(_ *cobra.Command, args []string) error { return a.walletVerify(f, args[0], false) },
	}
	f.register(cmd.Flags())
	return cmd
}

// verifiedJSON is what verify prints for programs.
type verifiedJSON struct {
	File           string `json:"file"`
	Valid          bool   `json:"valid"`
	Kind           string `json:"kind"` // pass or order
	TypeIdentifier string `json:"type_identifier,omitempty"`
	TeamIdentifier string `json:"team_identifier,omitempty"`
	SerialNumber   string `json:"serial_number,omitempty"`
	Files          int    `json:"files"`
	// Trust is "trusted", "not trusted" or "not judged".
	Trust       wallet.Trust      `json:"trust"`
	SigningTime *time.Time        `json:"signing_time,omitempty"`
	Digest      string            `json:"digest,omitempty"`
	Chain       []certificateJSON `json:"chain"`
	Problems    wallet.Problems   `json:"problems"`
}

type certificateJSON struct {
	CommonName string    `json:"common_name"`
	NotAfter   time.Time `json:"not_after"`
}

func (a *app) walletVerify(f *walletVerifyFlags, path string, order bool) error {
	var o wallet.VerifyOptions
	var err error
	if o.Roots, err = a.readCertificates("--root", f.roots); err != nil {
		return err
	}
	if o.Intermediates, err = a.readCertificates("--wwdr", f.wwdr); err != nil {
		return err
	}
	if f.at != "" {
		if o.At, err = time.Parse(time.RFC3339, f.at); err != nil {
			return usage("--at has to be a time such as 2026-03-01T12:00:00Z")
		}
	}
	data, err := a.readFile(path, maxPackageFile)
	if err != nil {
		return usage("%w", err)
	}
	if strings.EqualFold(filepath.Ext(path), ".pkpasses") && !order {
		return a.verifyPasses(path, data, o)
	}
	one, err := a.verifyPackage(path, data, o, order)
	if err == nil && a.json {
		err = a.printJSON(one)
	}
	if err == nil && !one.Valid {
		err = exit(ExitRejected)
	}
	return err
}

// bundleJSON is what verify prints of a .pkpasses file for programs.
type bundleJSON struct {
	File     string          `json:"file"`
	Valid    bool            `json:"valid"`
	Passes   []verifiedJSON  `json:"passes"`
	Problems wallet.Problems `json:"problems"`
}

// verifyPasses verifies every pass of a bundle.
func (a *app) verifyPasses(path string, data []byte, o wallet.VerifyOptions) error {
	passes, problems, err := wallet.ReadPasses(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return usage("%s: %w", path, err)
	}
	all := bundleJSON{File: path, Valid: len(problems.Errors()) == 0, Passes: []verifiedJSON{}, Problems: append(wallet.Problems{}, problems...)}
	if !a.json {
		a.printProblems(problems)
	}
	for _, name := range sortedKeys(passes) {
		one, err := a.verifyPackage(path+"/"+printable(name), passes[name], o, false)
		if err != nil {
			return err
		}
		all.Valid = all.Valid && one.Valid
		all.Passes = append(all.Passes, one)
	}
	if a.json {
		err = a.printJSON(all)
	}
	if err == nil && !all.Valid {
		err = exit(ExitRejected)
	}
	return err
}

// verifyPackage verifies one package and prints what was found, unless it is to be
// JSON.
func (a *app) verifyPackage(path string, data []byte, o wallet.VerifyOptions, order bool) (found verifiedJSON, err error) {
	p, problems, err := openPackage(path, data)
	if err != nil {
		return found, err
	}
	if p == nil {
		if !a.json {
			a.printProblems(problems)
			a.printf("%s: %s\n", path, a.paint(a.stdout, red, "not valid"))
		}
		return verifiedJSON{File: path, Trust: wallet.NotTrusted, Chain: []certificateJSON{}, Problems: problems}, nil
	}
	if isOrder := p.Files["order.json"] != nil && p.Files["pass.json"] == nil; isOrder != order {
		if isOrder {
			return found, usage("%s is an order: aviso order verify verifies it", path)
		}
		return found, usage("%s is no order: aviso wallet verify verifies passes", path)
	}
	v := p.Verify(o)
	valid := len(v.Problems.Errors()) == 0 && v.Trust != wallet.NotTrusted
	if !a.json {
		a.printVerification(path, p, v, valid)
	}
	return newVerifiedJSON(path, p, v, valid), nil
}

// openPackage opens a package. If nothing of it can be read, problems say why.
func openPackage(path string, data []byte) (*wallet.Package, wallet.Problems, error) {
	p, err := wallet.Open(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		return p, nil, nil
	}
	if invalid, ok := asInvalid(err); ok {
		return nil, invalid, nil
	}
	return nil, nil, usage("%s: %w", path, err)
}

func newVerifiedJSON(path string, p *wallet.Package, v *wallet.Verification, valid bool) verifiedJSON {
	j := verifiedJSON{
		File: path, Valid: valid, Kind: "pass", TypeIdentifier: v.TypeIdentifier, TeamIdentifier: v.TeamIdentifier, SerialNumber: serialOf(p),
		Files: len(p.Files), Trust: v.Trust, Chain: []certificateJSON{}, Problems: append(wallet.Problems{}, v.Problems...),
	}
	if p.Order != nil {
		j.Kind = "order"
	}
	if v.Certificate != nil {
		j.Digest = v.Digest.String()
	}
	if !v.SigningTime.IsZero() {
		j.SigningTime = &v.SigningTime
	}
	for _, c := range v.Chain {
		j.Chain = append(j.Chain, certificateJSON{c.Subject.CommonName, c.NotAfter.UTC()})
	}
	return j
}

func serialOf(p *wallet.Package) string {
	switch {
	case p.Pass != nil:
		return p.Pass.SerialNumber
	case p.Order != nil:
		return p.Order.OrderIdentifier
	}
	return ""
}

func (a *app) printVerification(path string, p *wallet.Package, v *wallet.Verification, valid bool) {
	line := func(name, format string, args ...any) { a.printf("  %-12s %s\n", name, fmt.Sprintf(format, args...)) }
	a.printf("%s\n", a.paint(a.stdout, bold, path))
	if v.Certificate == nil {
		line("signature", "none that could be read")
	} else {
		line("for", "%s, team %s", printable(v.TypeIdentifier), printable(v.TeamIdentifier))
		line("serial", "%s", printable(serialOf(p)))
		made := "at a time it does not say"
		if !v.SigningTime.IsZero() {
			made = v.SigningTime.UTC().Format(time.RFC3339)
		}
		line("signature", "%s, made %s", v.Digest, made)
	}
	for i, c := range v.Chain {
		name := "issued by"
		if i == 0 {
			name = "signed by"
		}
		line(name, "%s, until %s", commonName(c), c.NotAfter.UTC().Format(time.DateOnly))
	}
	trust := v.Trust.String()
	if v.Trust == wallet.NotJudged {
		trust = a.paint(a.stdout, yellow, trust) + ": no --root was given, so nobody knows whose it is"
	}
	line("trust", "%s", trust)
	a.printProblems(v.Problems)
	switch errors := len(v.Problems.Errors()); {
	case valid && v.Trust == wallet.NotJudged:
		a.printf("In order as far as it goes: %d files, each with its hash; the signer was not judged.\n", len(p.Files))
	case valid:
		a.printf("%s: %d files, each with its hash, and a signer who is trusted.\n", a.paint(a.stdout, green, "Valid"), len(p.Files))
	default:
		a.printf("%s: %s\n", a.paint(a.stdout, red, "Not valid"), counted(errors, "error"))
	}
}

func commonName(c *x509.Certificate) string {
	if c.Subject.CommonName == "" {
		return "a certificate without a name"
	}
	return printable(c.Subject.CommonName)
}

// printable makes text from a package safe for a terminal.
func printable(s string) string {
	if s == "" {
		return "none"
	}
	if slices.ContainsFunc([]rune(s), func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
