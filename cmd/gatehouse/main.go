// Command gatehouse is the identity gateway: server, demo and operator's tools
// in one binary.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands is the command line; the doc comments and help tags are its manual.
type commands struct {
	Config kong.ConfigFlag `help:"TOML file with any of the flags; flags beat environment beats file." placeholder:"FILE"`

	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Demo    demoCmd    `cmd:"" help:"Run a throw-away server with two tenants, a sample application and a test identity provider."`
	Migrate migrateCmd `cmd:"" help:"Run database migrations by hand."`
	Key     keyCmd     `cmd:"" help:"Manage management keys on the store directly."`
	Admin   adminCmd   `cmd:"" help:"Emergency access on the store directly."`
	Doctor  doctorCmd  `cmd:"" help:"Check configuration, database, keys and clock, and say what to do for each fault."`
	Audit   auditCmd   `cmd:"" help:"Check the audit log."`
	Version versionCmd `cmd:"" help:"Print version, commit and Go version."`
}

// env is what commands reach of the outside.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit status: 0, 1 for a
// failure, 2 for a command line that is wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("gatehouse"),
		kong.Description("SCIM 2.0 and SSO identity gateway."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.DefaultEnvars("GATEHOUSE"),
		kong.Configuration(tomlFile),
	)
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return 2
	}
	if err := k.Run(&env{ctx: ctx, stdout: stdout, stderr: stderr}); err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return 1
	}
	return 0
}
