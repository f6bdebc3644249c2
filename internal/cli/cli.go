// Package cli is the command aviso: one file per subcommand, and helpers that
// several of them share.
//
// Output that a person or a program asked for goes to standard output; errors,
// logs and progress go to standard error. Colour is used on a terminal only.
// Secrets are never printed, and passwords are never taken from the command
// line, where every user of the machine could read them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"aviso.example/internal/secret"
	"aviso.example/internal/suggest"
)

// app is what the subcommands share: the world outside and the persistent
// flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string // the same, for those who look for names

	json    bool
	verbose int
	// log is a server's, which says nothing beside it.
	log *slog.Logger
}

// Main runs the command with the process's arguments and returns its exit code.
func Main() int {
	// The first signal asks to stop, which is why it is a context; a second one
	// finds the default behaviour restored and ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ()}
	return a.run(ctx, os.Args[1:])
}

// run executes one command line.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := checkArguments(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return ExitOK
	}
	code, message := ExitFailure, err.Error()
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		if e.err == nil {
			message = ""
		}
	}
	if message = secret.Hide(message); message != "" && a.log != nil && a.json {
		a.log.Error(message)
	} else if message != "" {
		fmt.Fprintln(a.stderr, a.paint(a.stderr, red, "aviso: ")+message)
	}
	return code
}

func (a *app) root() *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:   "aviso",
		Short: "Send Apple push notifications, simulate APNs, and explain both",
		Long: `aviso sends Apple push notifications and says exactly what became of each, runs a
server that does so and loses none, simulates APNs on this machine, and explains
what any of them says.

Exit codes:
  0  everything was accepted, or there was nothing to find fault with
  1  something on this machine failed: a port is taken, the disk is full
  2  the command line or a file named on it is wrong; nothing was sent
  3  something was rejected
  4  APNs or the server was not reachable, or it is unknown whether it took
     something; this wins over 3`,
		Example: `  aviso dev
  aviso send --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 \
      --topic com.example.app --to 740f4707… --title Hello --body World
  aviso serve --config aviso.yaml
  aviso explain BadDeviceToken`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.printVersion()
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version, as aviso version does")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON for programs instead of text for people")
	root.PersistentFlags().CountVarP(&a.verbose, "verbose", "v", "log connections to standard error; twice logs more")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage("%s", flagProblem(cmd, err)) })
	root.AddCommand(a.devCommand(), a.simulateCommand(), a.sendCommand(), a.channelCommand(), a.credentialCommand(),
		a.explainCommand(), a.lintCommand(), a.doctorCommand(), a.benchCommand(),
		a.serveCommand(), a.gatewayCommand(), a.configCommand(), a.pushCommand(), a.statusCommand(), a.appCommand(), a.batchCommand(),
		a.walletCommand(), a.orderCommand(),
		a.safariCommand(),
		a.webpushCommand(),
		a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// unknownCommand refuses arguments of the root, which are mistyped subcommands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usage("there is no command %q%s; see aviso help", args[0], suggest.Hint(args[0], names))
}

// noArguments is for commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes flags only, and %q is none; a value with spaces has to be quoted", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArgument is for commands about one file or word.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%s takes exactly one %s, and there are %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// logger writes to standard error: warnings always, more with -v.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn - slog.Level(4*a.verbose)
	return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{
		Level: level, TimeFormat: "15:04:05.000", NoColor: !a.colourful(a.stderr), ReplaceAttr: hideSecrets,
	}))
}

func (a *app) colourful(w io.Writer) bool {
	return isTerminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The colours in use.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours text if w is a terminal that wants it.
func (a *app) paint(w io.Writer, colour, text string) string {
	if !a.colourful(w) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// warnf says on standard error what does not stop the command.
func (a *app) warnf(format string, args ...any) {
	if a.log != nil {
		a.log.Warn(fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(a.stderr, "%s%s\n", a.paint(a.stderr, yellow, "warning: "), secret.Hide(fmt.Sprintf(format, args...)))
}

// sayf says something on standard error.
func (a *app) sayf(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
