// Package lognodes configures a cluster of three nats-servers on loopback that sync
// every write, for the programs that run the push server on one.
package lognodes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Module is where a nats-server is built from, in the version of go.mod.
const Module = "github.com/nats-io/nats-server/v2"

// Nodes are three configuration files and how clients reach the servers.
type Nodes struct {
	// URLs has all three, separated by commas, as `aviso serve --nats` takes them.
	URLs string
	// Configs are for `nats-server -c`.
	Configs [3]string
}

// Write makes the configurations in a folder, where the servers keep their data
// too.
func Write(dir string) (n Nodes, err error) {
	ports, err := freePorts(6)
	if err != nil {
		return n, err
	}
	var urls, routes []string
	for i := range n.Configs {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", ports[3+i]))
	}
	n.URLs = strings.Join(urls, ",")
	for i := range n.Configs {
		n.Configs[i] = filepath.Join(dir, fmt.Sprintf("nats-%d.conf", i+1))
		if err := os.WriteFile(n.Configs[i], fmt.Appendf(nil, `server_name: log-%d
listen: 127.0.0.1:%d
max_payload: 2MB
jetstream { store_dir: %q, sync_interval: always }
cluster { name: aviso, listen: 127.0.0.1:%d, routes: [%s] }
`, i+1, ports[i], filepath.Join(dir, fmt.Sprintf("nats-%d", i+1)), ports[3+i], strings.Join(routes, ", ")), 0o600); err != nil {
			return n, err
		}
	}
	return n, nil
}

// freePorts returns ports that were free a moment ago.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
