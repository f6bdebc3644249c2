package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/wallet"
)

// walletSignFlags say who signs, and where it goes.
type walletSignFlags struct {
	signing
	output string
}

func (f *walletSignFlags) register(flags *pflag.FlagSet, extension string) {
	flags.SortFlags = false
	f.signing.register(flags)
	flags.StringVarP(&f.output, "output", "o", "", "write to this `FILE` (default the source's name with "+extension+"); an older one is replaced")
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
It is found by its key identifier, in --wwdr or beside the certificate.
Without --cert, the test certificate that aviso wallet new made beside PASS signs.`,
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
	if f.output == "" && result.Output == filepath.Clean(paths[0]) {
		return usage("%s is a package already: name the new one with --output", paths[0])
	}
	return a.finishSigning(result, data)
}

func (a *app) finishSigning(result signed, data []byte) error {
	result.Bytes = len(data)
	// The pass may hold an authentication token, so it is for this user.
	if err := writeOutput(result.Output, data, 0o600); err != nil {
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
	with := f.signing
	if folder := testCertificateOf(path); with.cert == "" {
		if _, err := os.Stat(filepath.Join(folder, testLeaf)); err == nil {
			with.cert = filepath.Join(folder, testLeaf)
			with.wwdr = append([]string{filepath.Join(folder, testIntermediate)}, with.wwdr...)
			a.sayf("Signing with the test certificate in %s, which no device accepts.", folder)
		}
	}
	leaf, key, intermediates, err := with.load(a)
	if err != nil {
		return nil, err
	}
	signer, err := wallet.NewSigner(leaf, key, intermediates...)
	if err != nil {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "wallet: "), "cms: ")
		if len(with.wwdr) == 0 {
			text += "; name it with --wwdr"
		}
		return nil, usage("--cert %s: %s", with.cert, text)
	}
	return signer, nil
}
