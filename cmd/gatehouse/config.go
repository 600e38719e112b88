package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/migrations"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// storeConfig says which store a command works on. Its help tags are
// docs/config.md.
type storeConfig struct {
	DataDir         string `default:"./data" help:"Directory of the embedded store: the SQLite file and, where none is given, the master key."`
	DatabaseURL     string `help:"PostgreSQL address (postgres://…). Empty: embedded SQLite in the data directory."`
	DatabaseURLFile string `help:"File that holds the database URL." placeholder:"FILE"`
	MasterKey       string `help:"32 random bytes in base64, as 'openssl rand -base64 32' prints. Embedded store: made once in the data directory. With a database URL it must be given."`
	MasterKeyFile   string `help:"File that holds the master key." placeholder:"FILE"`
}

// serveConfig is everything that the server takes.
type serveConfig struct {
	storeConfig

	Listen               string         `default:"127.0.0.1:8080" help:"Address to listen on."`
	BaseURL              string         `help:"Public address of the default environment, and its issuer. Default: http://localhost:<port>."`
	MetricsListen        string         `help:"Address for Prometheus metrics at /metrics. Empty: metrics are not served."`
	TrustedProxies       []netip.Prefix `help:"Networks (CIDR) whose X-Forwarded-For is believed."`
	ScimRateLimit        float64        `name:"scim-rate-limit" default:"500" help:"SCIM requests per second, per connection and replica. At least 25; 0: no limit."`
	SMTPURL              string         `name:"smtp-url" help:"Mail server: smtp://user:password@host:587?from=no-reply@example.com, with STARTTLS (starttls=optional or none changes that), or smtps://… with TLS from the start. Empty: mail is logged."`
	SMTPURLFile          string         `name:"smtp-url-file" help:"File that holds the mail server's URL." placeholder:"FILE"`
	AllowPrivateNetworks bool           `help:"For development: metadata, discovery and webhook fetches, and plain http, may reach loopback and private addresses."`
	LogFormat            string         `enum:"text,json" default:"text" help:"Form of the log: text or json."`
	LogLevel             string         `enum:"debug,info,warn,error" default:"info" help:"Least severe level that is logged: debug, info, warn or error."`
	Migrate              bool           `default:"true" negatable:"" help:"Migrate the database at start."`
}

// minSCIMRate is what IdP galleries require of every tenant.
const minSCIMRate = 25

// check completes the configuration and refuses what cannot work.
func (c *serveConfig) check() error {
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: give host:port, such as 127.0.0.1:8080", c.Listen)
	}
	if c.BaseURL == "" {
		c.BaseURL = "http://localhost:" + port
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	u, err := url.Parse(c.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Path != "" {
		return fmt.Errorf("--base-url %q: give an http or https address without a path, such as https://id.example.com", c.BaseURL)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("--base-url %q: plain http is for loopback addresses only; put TLS in front and give the https address", c.BaseURL)
	}
	if c.ScimRateLimit != 0 && c.ScimRateLimit < minSCIMRate {
		return fmt.Errorf("--scim-rate-limit %g: at least %d, which identity providers require, or 0 for none", c.ScimRateLimit, minSCIMRate)
	}
	if err := fromFile(&c.SMTPURL, c.SMTPURLFile, "smtp-url"); err != nil {
		return err
	}
	if _, err := mail.Open(c.SMTPURL, nil); err != nil {
		return fmt.Errorf("--smtp-url: %w", err)
	}
	return c.storeConfig.check()
}

func (c *storeConfig) check() error {
	if err := fromFile(&c.DatabaseURL, c.DatabaseURLFile, "database-url"); err != nil {
		return err
	}
	if err := fromFile(&c.MasterKey, c.MasterKeyFile, "master-key"); err != nil {
		return err
	}
	if c.DatabaseURL != "" && !strings.HasPrefix(c.DatabaseURL, "postgres://") && !strings.HasPrefix(c.DatabaseURL, "postgresql://") {
		return fmt.Errorf("--database-url: give a postgres:// address")
	}
	return nil
}

func fromFile(value *string, path, flag string) error {
	if path == "" {
		return nil
	}
	if *value != "" {
		return fmt.Errorf("--%s and --%s-file are both given; give one", flag, flag)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--%s-file: %w", flag, err)
	}
	*value = strings.TrimSpace(string(b))
	return nil
}

// open opens the store that the configuration names.
func (c *storeConfig) open(ctx context.Context) (db.DB, error) {
	if c.DatabaseURL != "" {
		return db.Open(ctx, db.Config{DatabaseURL: c.DatabaseURL})
	}
	return db.Open(ctx, db.Config{Path: filepath.Join(c.DataDir, "gatehouse.db")})
}

const masterKeyName = "master.key"

// vault opens the master key. The embedded store makes one at its first use.
func (c *storeConfig) vault() (*keys.Vault, error) {
	text := c.MasterKey
	if text == "" && c.DatabaseURL != "" {
		return nil, fmt.Errorf("with --database-url a --master-key or --master-key-file must be given; make one with: openssl rand -base64 32")
	}
	if text == "" {
		var err error
		if text, err = embeddedKey(filepath.Join(c.DataDir, masterKeyName)); err != nil {
			return nil, err
		}
	}
	master, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(master) != 32 {
		return nil, fmt.Errorf("the master key is not 32 bytes in base64; make one with: openssl rand -base64 32")
	}
	return keys.NewVault(master)
}

// domain opens the services on the migrated store, for commands that work on it
// directly while a server may run. The environment is the default one where no id
// is given. The caller closes Domain.DB.
func (c *storeConfig) domain(e *env, baseURL, id string) (m *gateway.Domain, environment tenants.Environment, err error) {
	if err := c.check(); err != nil {
		return nil, environment, err
	}
	v, err := c.vault()
	if err != nil {
		return nil, environment, err
	}
	d, err := c.open(e.ctx)
	if err != nil {
		return nil, environment, err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if err := db.Migrate(e.ctx, d, migrations.FS); err != nil {
		return nil, environment, err
	}
	if m, err = gateway.NewDomain(e.ctx, d, v, clock.System{}, baseURL, false); err != nil {
		return nil, environment, err
	}
	if id == "" {
		return m, m.Main, nil
	}
	if environment, err = m.Environments.ByID(e.ctx, id); err != nil {
		return nil, environment, fmt.Errorf("--environment %s: there is no such environment", id)
	}
	return m, environment, nil
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// logger makes the log that the configuration asks for.
func (c *serveConfig) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // kong's enum holds it to the four
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// tomlFile reads the configuration file: flat keys named as the flags, dashes
// and all. An unknown key is an error.
func tomlFile(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	if _, err := toml.NewDecoder(r).Decode(&values); err != nil {
		return nil, err
	}
	return tomlResolver(values), nil
}

type tomlResolver map[string]any

// Validate implements kong.Resolver.
func (t tomlResolver) Validate(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok {
			known[f.Name] = true
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for key := range t {
		if !known[key] {
			return fmt.Errorf("configuration file: there is no setting %q", key)
		}
	}
	return nil
}

// Resolve implements kong.Resolver. Flags and environment beat the file.
func (t tomlResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return t[flag.Name], nil
}
