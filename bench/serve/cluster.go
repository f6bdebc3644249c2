package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"aviso.example/bench/lognodes"
)

// clustered is our server with its log on three nats-servers of this machine. It
// has fewer processors than a cluster would, but each does the same work.
type clustered struct {
	*aviso
	nodes []*process
}

func startCluster(ctx context.Context, root, binary, dir string, apple *simulator) (c *clustered, err error) {
	nats, err := build(ctx, root, dir, lognodes.Module)
	if err != nil {
		return nil, err
	}
	// Whatever the servers leave behind goes with the folder.
	nodesDir, err := os.MkdirTemp(dir, "nats-")
	if err != nil {
		return nil, err
	}
	nodes, err := lognodes.Write(nodesDir)
	if err != nil {
		return nil, err
	}
	c = &clustered{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	for _, config := range nodes.Configs {
		p, out, err := start(exec.Command(nats, "-c", config))
		if err != nil {
			return c, err
		}
		go io.Copy(io.Discard, out)
		c.nodes = append(c.nodes, p)
	}
	// Three servers need a moment to agree.
	for began := time.Now(); time.Since(began) < startWithin && ctx.Err() == nil; time.Sleep(time.Second) {
		if c.aviso, err = startAviso(ctx, binary, nodesDir, apple, "--nats", nodes.URLs); err == nil {
			return c, nil
		}
	}
	return c, errors.Join(err, ctx.Err())
}

func (c *clustered) name() string       { return ownName + " on three nats-servers" }
func (c *clustered) others() []*process { return c.nodes }

func (c *clustered) stop() {
	if c.aviso != nil {
		c.aviso.stop()
	}
	for _, p := range c.nodes {
		p.end(syscall.SIGKILL)
	}
}
