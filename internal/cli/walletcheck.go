package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"aviso.example/wallet"
)

func (a *app) walletCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check PASS",
		Short: "Report everything that is wrong with a pass before it is signed",
		Long: `Report everything that is wrong with the source of a pass or an order, errors
first: what devices refuse, what they drop without a word, and what looks like a
mistake, each with the key's path and the fix. PASS is a folder, a package, or a
pass.json or order.json alone (- for standard input).

The exit code is 3 if there are errors, else 0.`,
		Example: `  aviso wallet check concert.pass
  aviso wallet check pass.json --json`,
		Args: oneArgument("pass"),
		RunE: func(_ *cobra.Command, args []string) error { return a.walletCheck(args[0]) },
	}
}

func (a *app) walletCheck(path string) error {
	problems, err := a.problemsOf(path)
	if err != nil {
		return err
	}
	v := newProblemsJSON(problems)
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		a.printProblems(problems)
		a.printf("%s\n", summaryOf(a, v))
	}
	if !v.Valid {
		return exit(ExitRejected)
	}
	return nil
}

func summaryOf(a *app, v problemsJSON) string {
	switch {
	case v.Errors+v.Warnings == 0:
		return a.paint(a.stdout, green, "Nothing to find fault with.")
	case v.Valid:
		return counted(v.Warnings, "warning") + ", and it can be signed"
	}
	return counted(v.Errors, "error") + ", " + counted(v.Warnings, "warning")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// problemsOf checks a folder, a package or a single file.
func (a *app) problemsOf(path string) (wallet.Problems, error) {
	if info, err := os.Stat(path); path == "-" || err == nil && !info.IsDir() {
		data, err := a.readFile(path, maxPackageFile)
		if err != nil {
			return nil, usage("%w", err)
		}
		if text := bytes.TrimLeft(data, "\ufeff \t\r\n"); bytes.HasPrefix(text, []byte("{")) {
			if isOrder(path, data) {
				return wallet.CheckOrder(data), nil
			}
			return wallet.CheckPass(data), nil
		}
		if path == "-" {
			return nil, usage("standard input is not a JSON object; give a folder or a package by its path")
		}
	}
	s, err := a.readSource(path)
	if err != nil {
		return nil, err
	}
	return append(s.problems, s.files.Check()...), nil
}

// isOrder tells an order.json from a pass.json: by its name, or by the key that
// only orders have.
func isOrder(path string, data []byte) bool {
	return filepath.Base(path) == "order.json" ||
		filepath.Base(path) != "pass.json" && bytes.Contains(data, []byte(`"orderTypeIdentifier"`))
}
