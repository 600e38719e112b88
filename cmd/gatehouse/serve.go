package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/migrations"
)

// How long a stop waits for requests that are under way.
const drain = 20 * time.Second

type serveCmd struct {
	serveConfig
}

// Run serves until the context ends.
func (c *serveCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return err
	}
	log := slog.New(httpx.LogHandler(c.logger(e.stderr).Handler()))
	a, err := c.start(e.ctx, log)
	if err != nil {
		return err
	}
	defer a.DB.Close()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	log.Info("listening", "address", l.Addr().String(), "base_url", c.BaseURL, "version", version())
	return serve(e.ctx, a, log, c.MetricsListen, l)
}

// start opens, migrates and wires.
func (c *serveConfig) start(ctx context.Context, log *slog.Logger) (*gateway.Gateway, error) {
	v, err := c.vault()
	if err != nil {
		return nil, err
	}
	sender, err := mail.Open(c.SMTPURL, log)
	if err != nil {
		return nil, err
	}
	d, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if c.Migrate {
		err = db.Migrate(ctx, d, migrations.FS)
	} else {
		err = gateway.PendingMigrations(ctx, d)
	}
	var a *gateway.Gateway
	if err == nil {
		a, err = gateway.New(ctx, gateway.Config{
			BaseURL: c.BaseURL, AllowPrivateNetworks: c.AllowPrivateNetworks, TrustedProxies: c.TrustedProxies, SCIMRateLimit: c.ScimRateLimit, Mail: sender, Version: release,
		}, d, v, clock.System{}, log)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return a, nil
}

// serve answers on l until ctx ends, then lets requests finish and hands leased
// jobs back.
func serve(ctx context.Context, a *gateway.Gateway, log *slog.Logger, metricsListen string, l net.Listener) error {
	server := &http.Server{
		Handler: a.Handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	servers := []*http.Server{server}
	failed := make(chan error, 2)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // the heap is small and nearly all of it short-lived: collecting was a fifth of a login's work
	}
	go func() { failed <- server.Serve(l) }()
	debug.FreeOSMemory() // what starting took is not kept while nothing happens
	if metricsListen != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.Handler())
		metrics := &http.Server{Addr: metricsListen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		servers = append(servers, metrics)
		go func() {
			if err := metrics.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("metrics: %w", err)
			}
		}()
	}
	work, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { a.Run(work) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	log.Info("stopping")
	wait, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	for _, s := range servers {
		if e := s.Shutdown(wait); e != nil {
			_ = s.Close() // requests that outlast the drain are cut
		}
	}
	stop()
	background.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
