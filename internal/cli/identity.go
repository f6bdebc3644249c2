package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/auth"
)

// passwordVariable is the environment variable that may hold the password of
// --cert. Unlike a flag, it is not in the list of processes.
const passwordVariable = "AVISO_PASSWORD"

// maxPassword bounds the file of --password-file in bytes; whoever names the
// wrong file should hear of it.
const maxPassword = 4096

// identity says who sends: a signing key with a team, or a certificate.
type identity struct {
	key, keyID, team   string
	cert, passwordFile string
}

func (i *identity) register(flags *pflag.FlagSet) {
	flags.StringVar(&i.key, "key", "", "signing key `FILE` (.p8) from the developer portal")
	flags.StringVar(&i.keyID, "key-id", "", "`ID` of --key, 10 characters; by default from Apple's file name AuthKey_<ID>.p8")
	flags.StringVar(&i.team, "team", "", "`ID` of the team that owns --key, 10 characters")
	flags.StringVar(&i.cert, "cert", "", "certificate `FILE` with its private key (.p12 or .pem) instead of --key")
	registerPassword(flags, &i.passwordFile)
}

func registerPassword(flags *pflag.FlagSet, file *string) {
	flags.StringVar(file, "password-file", "", "`FILE` that holds the password of the certificate; or set "+passwordVariable)
}

// apply loads the credential and writes it into cfg.
func (i *identity) apply(a *app, cfg *apns.Config) error {
	switch {
	case i.key == "" && i.cert == "":
		return usage("a credential is needed: --key FILE.p8 with --team ID, or --cert FILE")
	case i.key != "" && i.cert != "":
		return usage("--key and --cert exclude each other: APNs ties a connection to one identity")
	case i.cert != "" && i.team != "":
		return usage("--team belongs to --key; a certificate says by itself which team it is of")
	case i.cert != "" && i.keyID != "":
		return usage("--key-id belongs to --key; a certificate has none")
	case i.key != "" && i.team == "":
		return usage("--team is missing: --key needs the id of the team that owns it, 10 characters, under Membership details in the developer portal")
	}
	if i.key != "" {
		if err := auth.ValidateTeamID(i.team); err != nil {
			return usage("--team: %s", inputProblem(err))
		}
		key, err := auth.LoadSigningKey(i.key, i.keyID)
		if err != nil {
			return usage("--key: %w", trimmed{err})
		}
		cfg.Key, cfg.TeamID = key, i.team
		return nil
	}
	password, err := a.password(i.passwordFile)
	if err != nil {
		return err
	}
	if cfg.Certificate, err = auth.LoadCertificate(i.cert, password); err != nil {
		return usage("--cert: %w%s", trimmed{err}, passwordHint(err))
	}
	return nil
}

// inputProblem leaves the name of the field to the flag.
func inputProblem(err error) string {
	if e, ok := errors.AsType[*auth.InputError](err); ok {
		if e.Fix != "" {
			return e.Problem + "; " + e.Fix
		}
		return e.Problem
	}
	return err.Error()
}

// trimmed takes the package's name off an error: users know flags and files.
type trimmed struct{ error }

func (t trimmed) Error() string {
	text := t.error.Error()
	for _, name := range []string{"auth: ", "passview: ", "webpush: "} {
		if rest, ok := strings.CutPrefix(text, name); ok {
			return rest
		}
	}
	return text
}

func (t trimmed) Unwrap() error { return t.error }

func passwordHint(err error) string {
	if errors.Is(err, auth.ErrPasswordRequired) {
		return "; give it with --password-file or in " + passwordVariable
	}
	return ""
}

// password reads the password of a certificate, which may be empty.
func (a *app) password(file string) (string, error) {
	if file == "" {
		return a.getenv(passwordVariable), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", usage("--password-file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	switch {
	case err != nil:
		return "", usage("--password-file: %w", err)
	case len(b) > maxPassword:
		return "", usage("--password-file %s has more than %d bytes; is it the right file?", file, maxPassword)
	}
	// Editors end a file with a line break, passwords do not.
	return string(bytes.TrimRight(b, "\r\n")), nil
}
