package cli

import (
	"net"
	"strings"
)

// notifySystemd tells systemd about the state of this process (sd_notify(3)): one
// datagram to the socket that NOTIFY_SOCKET names. Without one it does nothing.
func (a *app) notifySystemd(states ...string) error {
	name := a.getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// A name with @ is abstract, which package net knows too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(strings.Join(states, "\n")))
	return err
}
