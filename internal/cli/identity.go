package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/namedfile"
)

// passwordVariable is the environment variable that may hold the password of
// --cert. Unlike a flag, it is not in the list of processes.
const passwordVariable = "AVISO_PASSWORD"

// What --key and --cert name can be in an environment variable itself: as it is, with
// \n in place of line breaks, or in base64.
const (
	keyVariableOfCommands = "AVISO_KEY_PEM"
	certificateVariable   = "AVISO_CERTIFICATE_PEM"
)

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
	var key, certificate string
	if i.key == "" && i.cert == "" { // flags win
		key, certificate = a.getenv(keyVariableOfCommands), a.getenv(certificateVariable)
	}
	hasKey, hasCertificate := i.key != "" || key != "", i.cert != "" || certificate != ""
	switch {
	case !hasKey && !hasCertificate:
		return usage("a credential is needed: --key FILE.p8 with --team ID, or --cert FILE; or the key itself in %s, the certificate in %s", keyVariableOfCommands, certificateVariable)
	case hasKey && hasCertificate:
		return usage("--key and --cert exclude each other: APNs ties a connection to one identity%s", certificateInPieces(i))
	case hasCertificate && i.team != "":
		return usage("--team belongs to --key; a certificate says by itself which team it is of")
	case hasCertificate && i.keyID != "":
		return usage("--key-id belongs to --key; a certificate has none")
	case hasKey && i.team == "":
		return usage("--team is missing: --key needs the id of the team that owns it, 10 characters, under Membership details in the developer portal")
	case key != "" && i.keyID == "":
		return usage("--key-id is missing: the key in %s has no file name that would tell it", keyVariableOfCommands)
	}
	var err error
	if hasKey {
		if err := auth.ValidateTeamID(i.team); err != nil {
			return usage("--team: %s", inputProblem(err))
		}
		cfg.TeamID = i.team
		if key != "" {
			if cfg.Key, err = auth.ParseSigningKey([]byte(key), i.keyID); err != nil {
				return usage("%s: %w", keyVariableOfCommands, trimmed{err})
			}
		} else if cfg.Key, err = auth.LoadSigningKey(i.key, i.keyID); err != nil {
			return usage("--key: %w", trimmed{err})
		}
		return nil
	}
	cfg.Certificate, err = a.certificate(i.cert, i.passwordFile)
	return err
}

// certificate reads the certificate of --cert or of certificateVariable.
func (a *app) certificate(file, passwordFile string) (c *auth.Certificate, err error) {
	password, err := a.password(passwordFile)
	if err != nil {
		return nil, err
	}
	where := "--cert"
	if file != "" {
		c, err = auth.LoadCertificate(file, password)
	} else {
		where = certificateVariable
		c, err = auth.ParseCertificate([]byte(a.getenv(certificateVariable)), password)
	}
	if err != nil {
		return nil, usage("%s: %w%s", where, trimmed{err}, passwordHint(err))
	}
	return c, nil
}

// certificateInPieces is what to do for whoever has a certificate and its private key
// in two files.
func certificateInPieces(i *identity) string {
	if i.cert == "" || i.key == "" {
		return ""
	}
	return "; if --key is the private key of the certificate, put both into one file, cat CERT KEY > both.pem, and give that as --cert"
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
	password, err := readPassword(file)
	if err != nil {
		return "", usage("--password-file: %w", err)
	}
	return password, nil
}

// readPassword reads a password from a file. What it cannot open it does not repeat: it
// may be the password.
func readPassword(file string) (string, error) {
	data, err := namedfile.Read(file, maxPassword)
	switch path, isPath := errors.AsType[*fs.PathError](err); {
	case isPath && path.Op == "open":
		return "", fmt.Errorf("names no file that can be opened (%w); it is the name of a file with the password, and not the password", path.Err)
	case err != nil:
		return "", err
	}
	// Editors end a file with a line break, passwords do not, and some begin it with a
	// mark of its encoding.
	return string(bytes.TrimRight(bytes.TrimPrefix(data, []byte("\ufeff")), "\r\n")), nil
}
