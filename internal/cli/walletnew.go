package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/auth"
	"aviso.example/internal/passsample"
	"aviso.example/internal/suggest"
)

// What a sample says of its owner until somebody says otherwise.
const (
	samplePassType = "pass.com.example.sample"
	sampleTeam     = "A1B2C3D4E5"
)

type walletNewFlags struct {
	style, passType, team string
	cert, passwordFile    string
	testCertificate       bool
}

func (a *app) walletNewCommand() *cobra.Command {
	f := &walletNewFlags{}
	cmd := &cobra.Command{
		Use:   "new DIR",
		Short: "Write a sample pass to begin with",
		Long: `Write the folder of a sample pass: pass.json, all images at all scales, drawn as
placeholders, and two translations. Change it to your own, then sign it. DIR must
not exist yet; nothing is ever overwritten.

The pass type and the team have to be those of the certificate that will sign
it: take them from --cert, or name them. With --test-certificate, a folder
DIR-test-certificate gets a certificate to try signing with, which looks like
Apple's and which no device accepts.

Styles: ` + strings.Join(passsample.Styles()[:4], ", ") + `,
` + strings.Join(passsample.Styles()[4:], ", ") + `.`,
		Example: `  aviso wallet new concert.pass --style eventTicket --test-certificate
  aviso wallet new card.pass --style storeCard --cert pass.p12 --password-file password.txt`,
		Args: oneArgument("folder"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.walletNew(f, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.style, "style", "generic", "`STYLE` of the pass")
	flags.StringVar(&f.passType, "pass-type", "", "pass type `ID` (default "+samplePassType+")")
	flags.StringVar(&f.team, "team", "", "`ID` of the team, 10 characters (default "+sampleTeam+")")
	flags.StringVar(&f.cert, "cert", "", "certificate `FILE` (.p12 or .pem) that says both")
	registerPassword(flags, &f.passwordFile)
	flags.BoolVar(&f.testCertificate, "test-certificate", false, "make a certificate to try signing with, beside the folder")
	return cmd
}

// newPass is what new made.
type newPass struct {
	Folder             string `json:"folder"`
	Style              string `json:"style"`
	PassTypeIdentifier string `json:"pass_type_identifier"`
	TeamIdentifier     string `json:"team_identifier"`
	// TestCertificate is the folder of the certificate, or absent.
	TestCertificate string   `json:"test_certificate,omitempty"`
	Next            []string `json:"next"`
}

func (a *app) walletNew(f *walletNewFlags, dir string) error {
	if err := a.whoseSample(f); err != nil {
		return err
	}
	now := time.Now()
	files, err := passsample.Files(f.style, passsample.Config{
		PassTypeIdentifier: f.passType, TeamIdentifier: f.team, SerialNumber: passsample.NewSerialNumber(), Now: now,
	})
	if err != nil {
		return usage("--style: %w%s", err, suggest.Hint(f.style, passsample.Styles()))
	}
	made := newPass{Folder: dir, Style: f.style, PassTypeIdentifier: f.passType, TeamIdentifier: f.team}
	if f.testCertificate {
		made.TestCertificate = testCertificateOf(dir)
		if _, err := os.Lstat(made.TestCertificate); err == nil {
			return usage("%s is there already, and nothing is overwritten: choose another name", made.TestCertificate)
		}
	}
	if err := writeFolder(dir, files, 0o644); err != nil {
		return err
	}
	if f.testCertificate {
		if err := writeTestCertificate(made.TestCertificate, f.passType, f.team, false, now); err != nil {
			return err
		}
	}
	output := defaultOutput(dir, ".pkpass")
	made.Next = []string{
		"aviso wallet check " + quoted(dir), "aviso wallet sign " + quoted(dir), "aviso wallet preview " + quoted(output) + " -o " + quoted(defaultOutput(dir, ".png")),
	}
	if !f.testCertificate {
		cert := f.cert
		if cert == "" {
			cert = "pass.p12"
		}
		made.Next[1] += " --cert " + quoted(cert)
		if f.passwordFile != "" {
			made.Next[1] += " --password-file " + quoted(f.passwordFile)
		}
		made.Next[1] += " --wwdr AppleWWDRCAG4.cer"
	}
	if a.json {
		return a.printJSON(made)
	}
	a.printf("%s holds a sample %s of pass type %s, team %s.\n", dir, f.style, f.passType, f.team)
	if f.testCertificate {
		a.printf("%s holds a certificate to try with. It is not Apple's: no device accepts what it signs.\n", made.TestCertificate)
	}
	a.printf("\nNext:\n  %s\n", strings.Join(made.Next, "\n  "))
	return nil
}

// whoseSample fills in pass type and team.
func (a *app) whoseSample(f *walletNewFlags) error {
	if f.cert != "" {
		if f.testCertificate || f.passType != "" || f.team != "" {
			return usage("--cert says which pass type and team it is, so --pass-type, --team and --test-certificate do not go with it")
		}
		password, err := a.password(f.passwordFile)
		if err != nil {
			return err
		}
		certificate, err := auth.LoadCertificate(f.cert, password)
		if err != nil {
			return usage("--cert: %w%s", trimmed{err}, passwordHint(err))
		}
		if certificate.Info.Kind != auth.KindPass {
			return usage("--cert %s is for %s; a pass needs a Pass Type ID certificate", f.cert, certificate.Info.Kind)
		}
		f.passType, f.team = certificate.Info.UID, certificate.Info.TeamID
		return nil
	}
	if f.passType == "" {
		f.passType = samplePassType
	}
	if f.team == "" {
		f.team = sampleTeam
	}
	if !strings.HasPrefix(f.passType, "pass.") || len(f.passType) < 6 || strings.ContainsAny(f.passType, " \t\r\n/") {
		return usage("--pass-type %q is no pass type identifier: they begin with pass., like %s", f.passType, samplePassType)
	}
	if err := auth.ValidateTeamID(f.team); err != nil {
		return usage("--team: %s", inputProblem(err))
	}
	return nil
}

// The files of a test certificate.
const (
	testLeaf         = "certificate.pem"
	testIntermediate = "wwdr.pem"
	testRoot         = "root.pem"
)

// testCertificateOf names the folder of the test certificate for a pass's folder.
func testCertificateOf(dir string) string { return filepath.Clean(dir) + "-test-certificate" }

func writeTestCertificate(dir, identifier, team string, order bool, now time.Time) error {
	chain, err := passsample.Certificates(identifier, team, order, now)
	if err != nil {
		return fmt.Errorf("making the test certificate: %w", err)
	}
	leaf, intermediate, root, err := chain.PEM()
	if err != nil {
		return fmt.Errorf("making the test certificate: %w", err)
	}
	// There is a private key among them.
	return writeFolder(dir, map[string][]byte{testLeaf: leaf, testIntermediate: intermediate, testRoot: root}, 0o600)
}

// quoted makes a path one word of a shell.
func quoted(path string) string {
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@=:,", r))
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
