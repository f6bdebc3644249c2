package cli

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/auth"
	"aviso.example/wallet"
)

// walletSignFlags say who signs, and where it goes.
type walletSignFlags struct {
	cert, passwordFile string
	wwdr               []string
	output             string
}

func (f *walletSignFlags) register(flags *pflag.FlagSet, extension string) {
	flags.SortFlags = false
	flags.StringVar(&f.cert, "cert", "", "certificate `FILE` with its private key (.p12 or .pem)")
	registerPassword(flags, &f.passwordFile)
	flags.StringArrayVar(&f.wwdr, "wwdr", nil, "Apple's intermediate certificate `FILE` (.cer or .pem), unless --cert holds it")
	flags.StringVarP(&f.output, "output", "o", "", "write to this `FILE` (default the source's name with "+extension+")")
}

func (a *app) walletSignCommand() *cobra.Command {
	f := &walletSignFlags{}
	cmd := &cobra.Command{
		Use:   "sign PASS...",
		Short: "Check and sign a pass",
		Long: `Check a pass and sign it. PASS is a folder, or a zip of one, signed before or
not. What a device would refuse is not signed: all errors are listed, and the
exit code is 3. Several passes go into one file that adds them together, if -o
names a .pkpasses file.

The signature holds the certificate and Apple's intermediate that issued it
(` + wallet.WWDRURL + `).
It is found by its key identifier, in --wwdr or beside the certificate. Without
--cert, the test certificate that aviso wallet new made beside PASS signs.`,
		Example: `  aviso wallet sign concert.pass --cert pass.p12 --password-file password.txt --wwdr AppleWWDRCAG4.cer
  aviso wallet sign concert.pass
  aviso wallet sign out.pass back.pass --cert pass.p12 --wwdr AppleWWDRCAG4.cer -o trip.pkpasses`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("%s takes at least one pass, a folder or a zip", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.walletSign(f, args) },
	}
	f.register(cmd.Flags(), ".pkpass")
	return cmd
}

// signed is what sign made.
type signed struct {
	Output         string          `json:"output"`
	Bytes          int             `json:"bytes"`
	TypeIdentifier string          `json:"type_identifier"`
	TeamIdentifier string          `json:"team_identifier"`
	Warnings       wallet.Problems `json:"warnings"`
}

func (a *app) walletSign(f *walletSignFlags, paths []string) error {
	together := strings.EqualFold(filepath.Ext(f.output), ".pkpasses")
	if len(paths) > 1 && !together {
		return usage("several passes go into one file only with -o NAME.pkpasses; sign them one by one otherwise")
	}
	signer, err := a.walletSigner(f, paths[0])
	if err != nil {
		return err
	}
	result := signed{Output: f.output, TypeIdentifier: signer.TypeIdentifier(), TeamIdentifier: signer.TeamIdentifier(), Warnings: wallet.Problems{}}
	var all [][]byte
	for _, path := range paths {
		s, err := a.readSource(path)
		if err != nil {
			return err
		}
		if _, ok := s.files["order.json"]; ok && s.files["pass.json"] == nil {
			return usage("%s is an order: aviso order sign signs it", path)
		}
		data, warnings, err := a.signSource(s, signer)
		if err != nil {
			return err
		}
		all, result.Warnings = append(all, data), append(result.Warnings, warnings...)
	}
	data := all[0]
	if together {
		var out bytes.Buffer
		if err := wallet.WritePasses(&out, all...); err != nil {
			return &exitError{ExitRejected, err}
		}
		data = out.Bytes()
	}
	if result.Output == "" {
		result.Output = defaultOutput(paths[0], ".pkpass")
	}
	return a.finishSigning(result, data)
}

func (a *app) finishSigning(result signed, data []byte) error {
	result.Bytes = len(data)
	if err := writeOutput(result.Output, data); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(result)
	}
	if n := len(result.Warnings); n > 0 {
		a.warnf("%s; aviso wallet check lists them", counted(n, "thing")+" may not be as you mean")
	}
	a.printf("%s: %s bytes, signed for %s, team %s\n", result.Output, grouped(int64(len(data))), result.TypeIdentifier, result.TeamIdentifier)
	return nil
}

// signSource checks and signs one pass or order. What is wrong with it is printed.
func (a *app) signSource(s *source, signer *wallet.Signer) (data []byte, warnings wallet.Problems, err error) {
	problems := s.problems.Errors()
	if len(problems) == 0 {
		data, err = s.files.Sign(signer)
		if err == nil {
			return data, append(s.problems, s.files.Check()...).Warnings(), nil
		}
		invalid, ok := errors.AsType[*wallet.InvalidError](err)
		if !ok {
			return nil, nil, err
		}
		problems = invalid.Problems
	}
	if a.json {
		if err := a.printJSON(newProblemsJSON(problems)); err != nil {
			return nil, nil, err
		}
	} else {
		a.printProblems(problems)
		a.printf("%s: %s, and it was not signed\n", s.path, counted(len(problems), "error"))
	}
	return nil, nil, exit(ExitRejected)
}

// walletSigner loads the certificate, or the test certificate of a pass's folder.
func (a *app) walletSigner(f *walletSignFlags, path string) (*wallet.Signer, error) {
	cert, wwdr := f.cert, f.wwdr
	if cert == "" {
		folder := testCertificateOf(path)
		if _, err := os.Stat(filepath.Join(folder, testLeaf)); err != nil {
			return nil, usage("--cert is missing: name the certificate that signs, a .p12 or .pem; to try without one, aviso wallet new has --test-certificate")
		}
		cert, wwdr = filepath.Join(folder, testLeaf), append(wwdr, filepath.Join(folder, testIntermediate))
		a.sayf("Signing with the test certificate in %s, which no device accepts.", folder)
	}
	certificate, err := a.certificate(cert, f.passwordFile)
	if err != nil {
		return nil, err
	}
	intermediates, err := a.certificates("--wwdr", wwdr)
	if err != nil {
		return nil, err
	}
	signer, err := wallet.NewSignerTLS(&certificate.TLS, intermediates...)
	if err != nil {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "wallet: "), "cms: ")
		if len(wwdr) == 0 {
			text += "; name it with --wwdr"
		}
		return nil, usage("--cert %s: %s", cert, text)
	}
	return signer, nil
}

// certificates reads the files of a flag that names certificates without keys.
func (a *app) certificates(flag string, files []string) (all []*x509.Certificate, err error) {
	for _, file := range files {
		data, err := a.readFile(file, auth.MaxFileSize)
		if err != nil {
			return nil, usage("%s: %w", flag, err)
		}
		found, err := wallet.ParseCertificates(data)
		if err != nil {
			return nil, usage("%s %s: %s", flag, file, strings.TrimPrefix(err.Error(), "wallet: "))
		}
		all = append(all, found...)
	}
	return all, nil
}
