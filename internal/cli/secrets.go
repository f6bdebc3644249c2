package cli

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/internal/secret"
)

// textValues are what flags call values that are handed on as they are. They may say
// anything.
var textValues = []string{"TEXT", "KEY=VALUE", "DEVICE_TOKEN", "JSON"}

// checkArguments refuses a key, a certificate or the like on the command line, before
// anything can repeat it, or make a folder of that name.
func checkArguments(root *cobra.Command, args []string) error {
	cmd, _, err := root.Find(args)
	if err != nil {
		cmd = root
	}
	const advice = "Write it into a file, and give the path of that. It is not repeated here; but every user of this machine could read it on the command line, and the shell may remember it"
	before := (*pflag.Flag)(nil) // the flag whose value comes next
	for _, arg := range args {
		flag, value := before, arg
		before = nil
		if flag == nil {
			if flag = flagOf(cmd, arg); flag != nil {
				_, given, ok := strings.Cut(arg, "=")
				if !ok && flag.NoOptDefVal == "" {
					before = flag
				}
				value = given
			}
		}
		what := secret.What(value)
		switch {
		case what == "":
		case flag == nil:
			return usage("an argument is %s, not the name of a file. %s", what, advice)
		default:
			if kind, _ := pflag.UnquoteUsage(flag); !slices.Contains(textValues, kind) {
				return usage("--%s holds %s and not the name of a file. %s", flag.Name, what, advice)
			}
		}
	}
	return nil
}

// flagOf returns the flag of a command that an argument begins with, or nil.
func flagOf(cmd *cobra.Command, arg string) *pflag.Flag {
	name, ok := strings.CutPrefix(arg, "--")
	if !ok {
		return nil
	}
	name, _, _ = strings.Cut(name, "=")
	if flag := cmd.Flags().Lookup(name); flag != nil {
		return flag
	}
	return cmd.InheritedFlags().Lookup(name)
}

// hideSecrets keeps them out of a log, whoever writes to it.
func hideSecrets(_ []string, attribute slog.Attr) slog.Attr {
	switch value := attribute.Value.Resolve(); value.Kind() {
	case slog.KindString:
		attribute.Value = slog.StringValue(secret.Hide(value.String()))
	case slog.KindAny:
		if err, ok := value.Any().(error); ok {
			attribute.Value = slog.StringValue(secret.Hide(err.Error()))
		}
	}
	return attribute
}
