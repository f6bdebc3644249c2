package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of aviso",
		Long:    "Print the version of aviso, the revision it was built from, and the version of Go.",
		Example: "  aviso version --json",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	v := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{version(), "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if a.json {
		return a.printJSON(v)
	}
	a.printf("aviso %s", v.Version)
	if v.Revision != "" {
		a.printf(" (%s)", v.Revision)
	}
	a.printf(", %s, %s\n", v.Go, v.Platform)
	return nil
}

// printJSON writes one value on one line.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	// <, > and & are no danger in a terminal, and escapes are hard to read.
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// version is the version of the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
