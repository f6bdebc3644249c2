package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/internal/message"
)

// Every command tells what it does, how, and with an example; every flag tells
// what it is for.
func TestHelp(t *testing.T) {
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }}
	bare := regexp.MustCompile(`(?i)\btokens?\b`)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		generated := strings.HasPrefix(path, "aviso completion") || path == "aviso help"
		for name, text := range map[string]string{"Short": cmd.Short, "Long": cmd.Long, "Example": cmd.Example} {
			if text == "" && !(generated && name == "Example") {
				t.Errorf("%s has no %s", path, name)
			}
			for _, at := range bare.FindAllStringIndex(text, -1) {
				before := strings.Fields(text[:at[0]])
				if len(before) == 0 || !slices.Contains([]string{"device", "provider", "authentication"}, before[len(before)-1]) {
					t.Errorf("%s: %s speaks of tokens without saying which: %q", path, name, text[max(0, at[0]-20):at[1]])
				}
			}
		}
		if strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") {
			t.Errorf("%s: Short is one line without a full stop", path)
		}
		if !generated && !strings.Contains(cmd.Example, path) {
			t.Errorf("%s: the example does not show it", path)
		}
		for line := range strings.Lines(cmd.Long) {
			if utf8.RuneCountInString(line) > 82 && !generated {
				t.Errorf("%s: Long has a line of %d characters: %s", path, len(line), line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no usage", path, f.Name)
			}
			if takes := f.Value.Type() != "bool" && f.Value.Type() != "count"; takes && !strings.Contains(f.Usage, "`") && !generated {
				t.Errorf("%s --%s does not name its value", path, f.Name)
			}
			if strings.Contains(f.Name, "password") && f.Name != "password-file" {
				t.Errorf("%s --%s takes a secret from the command line", path, f.Name)
			}
		})
		names := map[string]bool{}
		for _, sub := range cmd.Commands() {
			if names[sub.Name()] {
				t.Errorf("%s has two commands %s", path, sub.Name())
			}
			names[sub.Name()] = true
			walk(sub)
		}
	}
	walk(a.root())
}

// The flags of a message and the keys of a line name the same parts.
func TestFlagsAndKeysAgree(t *testing.T) {
	for bit, flag := range messageFlagNames {
		if key := strings.ReplaceAll(flag, "-", "_"); message.FieldOf(key) != bit {
			t.Errorf("flag %s is key %s", flag, message.KeyName(bit))
		}
	}
	send := (&app{}).sendCommand()
	for _, name := range messageFlagNames {
		if send.Flags().Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
	for name := range failureKeys {
		if message.FieldOf(name) != 0 {
			t.Errorf("%q would be both", name)
		}
	}
}
