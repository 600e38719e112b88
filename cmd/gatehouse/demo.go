package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/examples/webapp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
)

type demoCmd struct {
	Listen   string `default:"127.0.0.1:8080" help:"Address to listen on. The test identity provider and the sample application take the next two ports that are free."`
	LogLevel string `enum:"debug,info,warn,error" default:"warn" help:"Least severe level that is logged."`
}

// Run serves a throw-away gateway with everything around it that a login needs.
func (c *demoCmd) Run(e *env) error {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: give host:port, such as 127.0.0.1:8080", c.Listen)
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen, such as --listen 127.0.0.1:9090", err)
	}
	n, _ := strconv.Atoi(port)
	if n == 0 {
		n = listener.Addr().(*net.TCPAddr).Port
	}
	provider, err := nextFree(host, n+1)
	if err != nil {
		return err
	}
	sample, err := nextFree(host, portOf(provider)+1)
	if err != nil {
		return err
	}
	config := serveConfig{
		storeConfig: storeConfig{DataDir: dir}, Listen: listener.Addr().String(), BaseURL: local(listener),
		AllowPrivateNetworks: true, ScimRateLimit: 500, LogFormat: "text", LogLevel: c.LogLevel, Migrate: true,
	}
	if err := config.check(); err != nil {
		return err
	}
	log := slog.New(httpx.LogHandler(config.logger(e.stderr).Handler()))
	a, err := config.start(e.ctx, log)
	if err != nil {
		return err
	}
	defer a.DB.Close()
	world, err := newDemoWorld(e.ctx, a, local(provider), local(sample))
	if err != nil {
		return err
	}
	stopIdP := serveBeside(provider, world.idp)
	defer stopIdP()
	stopApp := serveBeside(sample, world.app)
	defer stopApp()
	world.print(e.stdout)
	return serve(e.ctx, a, log, "", listener)
}

// demoWorld is what stands around the gateway.
type demoWorld struct {
	base, idpURL, appURL string
	idp                  *idp.IdP
	app                  *webapp.App
	scimURL, scimToken   string
	key                  string
	roles                map[string]string // key → id
}

// nextFree listens on the first free port from n on, or on any.
func nextFree(host string, n int) (net.Listener, error) {
	for p := n; p < n+20 && p < 65536; p++ {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// local is how a browser on this machine reaches the listener.
func local(l net.Listener) string { return "http://localhost:" + strconv.Itoa(portOf(l)) }

func serveBeside(l net.Listener, h http.Handler) (stop func()) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("demo server stopped", "address", l.Addr().String(), "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
		<-done
	}
}
