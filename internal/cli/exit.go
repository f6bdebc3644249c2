package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

// Exit codes of every subcommand.
const (
	// ExitOK: everything was accepted.
	ExitOK = 0
	// ExitFailure: something on this machine failed, like a port that is taken.
	ExitFailure = 1
	// ExitUsage: the command line, or a file it names, is wrong.
	ExitUsage = 2
	// ExitRejected: something was rejected, by APNs or as invalid input.
	ExitRejected = 3
	// ExitUnreachable: APNs was not reachable, or an outcome is unknown. It wins
	// over ExitRejected, since what was rejected is settled and this is not.
	ExitUnreachable = 4
)

// exitError ends the command with a code. A nil err means that everything has
// been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is an error of whoever wrote the command line.
func usage(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

// problemList is what is wrong with a command line.
type problemList []error

func (list problemList) Error() string {
	if len(list) == 1 {
		return list[0].Error()
	}
	text := fmt.Sprintf("there are %d problems:", len(list))
	for _, err := range list {
		text += "\n  " + err.Error()
	}
	return text
}

// allWrong says everything that is wrong with a command line at once; nil if nothing is.
func allWrong(errs ...error) error {
	var list problemList
	for _, err := range errs {
		if several, ok := errors.AsType[problemList](err); ok {
			list = append(list, several...)
		} else if err != nil {
			list = append(list, err)
		}
	}
	if list == nil {
		return nil
	}
	return &exitError{ExitUsage, list}
}

// exit ends the command with a code after everything has been printed.
func exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exitError{code: code}
}

// exitCode gathers the code from outcomes.
type exitCode int

func (c *exitCode) add(o apns.Outcome) {
	switch o {
	case apns.Rejected:
		c.raise(ExitRejected)
	case apns.NotSent, apns.Unknown:
		c.raise(ExitUnreachable)
	}
}

func (c *exitCode) raise(to int) { *c = max(*c, exitCode(to)) }

// flagProblem rewords pflag's errors where they leave the reader guessing.
func flagProblem(cmd *cobra.Command, err error) string {
	text := err.Error()
	if strings.HasPrefix(text, "unknown flag: --password") {
		return text + "; a password on the command line is visible to every user of the machine: use --password-file or " + passwordVariable
	}
	if strings.HasPrefix(text, "unknown flag: --token") {
		return text + "; the device token goes into --to, and provider tokens are made from --key and --team"
	}
	if wrong, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var known []string
		cmd.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, "--"+flag.Name) })
		text += suggest.Hint("--"+wrong, known)
	}
	return text
}

// flagWords are the words of those who write flags.
var flagWords = message.Words{
	"DeviceToken": "--to", "BundleID": "--topic", "Topic": "--topic", "Payload": "the payload",
	"PushType": "--push-type", "Priority": "--priority", "Expiration": "--expiration", "CollapseID": "--collapse-id",
}

// channelWords are the same for a channel.
var channelWords = message.Words{
	"ChannelID": "the channel id", "BundleID": "--topic", "Topic": "--topic", "Payload": "the payload",
	"PushType": "--push-type", "Priority": "--priority", "Expiration": "--expiration",
}

// configWords translates the names of the fields of apns.Config.
var configWords = strings.NewReplacer(
	"apns: Config.Endpoint", "--endpoint",
	"apns: Config.BundleID", "--topic",
	"apns: Config.ExtraRoots", "--ca",
	"apns: Config.RequestTimeout", "--timeout",
	"apns: Config.Timeout", "--timeout",
	"apns: Config.Environment is sandbox", "--sandbox was given",
	"apns: Config.Environment is production", "--production was given",
	"apns: auth: team id:", "--team",
	"; it has to be a millisecond at least, and a plain number counts nanoseconds", "; it has to be a millisecond at least",
)
