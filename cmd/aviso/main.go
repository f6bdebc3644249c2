// Command aviso sends Apple push notifications, simulates APNs, and explains
// what either of them says. See aviso help.
package main

import (
	"os"

	"aviso.example/internal/cli"
)

func main() { os.Exit(cli.Main()) }
