package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/keys"
)

type doctorCmd struct {
	serveConfig
}

// finding is one check of the doctor; an empty fault is a good one.
type finding struct {
	what, fault, remedy string
}

// The statements that only PostgreSQL answers, each a fact about the server.
const (
	sqlServerVersion = `SELECT current_setting('server_version_num')`
	sqlServerNow     = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// maxDrift is how far the clocks of gateway and database may differ.
const maxDrift = 2 * time.Second

// minPostgres is the oldest PostgreSQL whose SQL we use.
const minPostgres = 150000

// Run checks everything that can be checked without serving, prints one line
// for each, and fails when there is a fault.
func (c *doctorCmd) Run(e *env) error {
	list := c.examine(e.ctx)
	faults := 0
	for _, f := range list {
		if f.fault == "" {
			fmt.Fprintf(e.stdout, "ok     %s\n", f.what)
			continue
		}
		faults++
		fmt.Fprintf(e.stdout, "FAULT  %s: %s\n       → %s\n", f.what, f.fault, f.remedy)
	}
	if faults > 0 {
		return fmt.Errorf("%d faults", faults)
	}
	return nil
}

func (c *doctorCmd) examine(ctx context.Context) []finding {
	if err := c.check(); err != nil {
		return []finding{{"configuration", err.Error(), "change the setting that is named"}}
	}
	list := []finding{{what: "configuration"}}
	list = append(list, c.network()...)
	v, err := c.vault()
	if err != nil {
		list = append(list, finding{"master key", err.Error(), "give the key that the store was made with"})
	}
	d, err := c.open(ctx)
	if err != nil {
		return append(list, finding{"database", err.Error(), "check that the server runs, the address is right and the user may log in; for SQLite, that the data directory can be written"})
	}
	defer d.Close()
	list = append(list, database(ctx, d)...)
	if v != nil {
		f := finding{what: "master key"}
		if err := keys.CheckMaster(ctx, d, v, time.Now().UTC()); err != nil {
			f.fault, f.remedy = err.Error(), "give the master key that this store was made with; nothing encrypted can be read without it"
		}
		list = append(list, f)
	}
	return list
}

// network judges base URL and proxies.
func (c *doctorCmd) network() []finding {
	base := finding{what: "base URL " + c.BaseURL}
	u, err := url.Parse(c.BaseURL)
	secure := err == nil && u.Scheme == "https"
	if secure && c.AllowPrivateNetworks {
		base.fault = "--allow-private-networks together with an https base URL lets tenants reach your private network"
		base.remedy = "drop --allow-private-networks in production"
	}
	proxies := finding{what: fmt.Sprintf("trusted proxies (%d)", len(c.TrustedProxies))}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			proxies.fault, proxies.remedy = p.String()+" trusts everybody, so that anybody can name any client address", "list the addresses of your proxies"
		}
	}
	if secure && len(c.TrustedProxies) == 0 && strings.HasPrefix(c.Listen, "127.0.0.1:") {
		proxies.fault = "an https base URL needs a proxy in front, and none is trusted: every client would have the proxy's address in IP rules and audit log"
		proxies.remedy = "give the proxy's address, such as --trusted-proxies " + netip.MustParsePrefix("127.0.0.1/32").String()
	}
	return []finding{base, proxies}
}

// database judges version, collation, migrations and clock of the store.
func database(ctx context.Context, d db.DB) []finding {
	if err := d.Ping(ctx); err != nil {
		return []finding{{"database", err.Error(), "check that the database server runs and lets this user in"}}
	}
	list := []finding{{what: "database answers (" + d.Dialect().Name + ")"}}
	if d.Dialect().Name == db.Postgres {
		list = append(list, server(ctx, d)...)
	}
	m := finding{what: "migrations"}
	if err := gateway.PendingMigrations(ctx, d); err != nil {
		m.fault, m.remedy = err.Error(), "run: gatehouse migrate up"
	} else if d.Dialect().Name == db.Postgres {
		list = append(list, collation(ctx, d))
	}
	return append(list, m)
}

func server(ctx context.Context, d db.DB) []finding {
	version, clock := finding{what: "PostgreSQL version"}, finding{what: "clock"}
	var text string
	var n int
	err := d.QueryRow(ctx, sqlServerVersion).Scan(&text)
	if err == nil {
		_, err = fmt.Sscan(text, &n)
	}
	switch {
	case err != nil:
		version.fault, version.remedy = err.Error(), "check the database's log"
	case n < minPostgres:
		version.fault, version.remedy = "version "+text+" is too old", "use PostgreSQL 15 or later"
	}
	var micros int64
	before := time.Now()
	if err := d.QueryRow(ctx, sqlServerNow).Scan(&micros); err != nil {
		clock.fault, clock.remedy = err.Error(), "check the database's log"
	} else if drift := time.UnixMicro(micros).Sub(before); drift > maxDrift || drift < -maxDrift {
		clock.fault, clock.remedy = fmt.Sprintf("it differs from the database's by %s", drift.Round(time.Millisecond)), "run a time service (NTP) on both machines"
	}
	return []finding{version, clock}
}

func collation(ctx context.Context, d db.DB) finding {
	f := finding{what: "collation of keys"}
	ok, err := db.Collated(ctx, d)
	switch {
	case err != nil:
		f.fault, f.remedy = err.Error(), "check the database's log"
	case !ok:
		f.fault, f.remedy = "some text columns do not compare by bytes", "run: gatehouse migrate up"
	}
	return f
}
