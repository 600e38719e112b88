// Command bench starts the built gateway on generated data, drives it, checks
// every answer, and prints JSON: operations per second, milliseconds at the
// median and at the 99th percentile, CPU milliseconds per operation of the
// gateway's process, memory, and ratios within the run. With a baseline it adds
// the ratio of each figure to it; machines differ, so a baseline is compared
// only with runs on its own machine.
//
//	go run ./dev/bench                              SQLite in a temporary directory
//	go run ./dev/bench -database-url postgres://…   an empty database
//	go run ./dev/bench -users 1000 -members 1000    a quick look
//	go run ./dev/bench -only tokens                 the OpenID provider alone
//	go run ./dev/bench -save base.json; go run ./dev/bench -baseline base.json
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"
)

type report struct {
	Store   string                `json:"store"`
	Users   int                   `json:"users"`
	Members int                   `json:"members"`
	Results map[string]measure    `json:"results"`
	Memory  map[string]float64    `json:"memory_mb"`
	Ratios  map[string]float64    `json:"ratios"` // within the run
	Against map[string]comparison `json:"against_baseline,omitempty"`
}

type measure struct {
	Operations int     `json:"operations"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	CPU        float64 `json:"cpu_ms"`
}

type comparison struct {
	P50 float64 `json:"p50"`
	CPU float64 `json:"cpu"`
}

type options struct {
	databaseURL      string
	users, members   int
	operations, c    int
	save, baseline   string
	only             string
	keepServerOutput bool
}

func main() {
	var o options
	flag.StringVar(&o.databaseURL, "database-url", "", "empty PostgreSQL database; SQLite when left out")
	flag.IntVar(&o.users, "users", 100_000, "users to import; at least -n")
	flag.IntVar(&o.members, "members", 100_000, "members of the large group; those who come and go are not among them")
	flag.IntVar(&o.operations, "n", 2000, "operations of each short measurement")
	flag.IntVar(&o.c, "c", 8, "concurrent clients")
	flag.StringVar(&o.save, "save", "", "file to write the report to, as a baseline")
	flag.StringVar(&o.baseline, "baseline", "", "report to compare with")
	flag.StringVar(&o.only, "only", "", "measure \"scim\" or \"tokens\" alone")
	flag.BoolVar(&o.keepServerOutput, "v", false, "show what the server says")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	o.members = min(o.members, o.users-o.operations/4)
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	r := report{Store: "sqlite", Users: o.users, Members: o.members, Results: map[string]measure{}, Memory: map[string]float64{}, Ratios: map[string]float64{}}
	if o.databaseURL != "" {
		r.Store = "postgres"
	}
	if o.only != "tokens" {
		if err := measureSCIM(ctx, s, o, &r); err != nil {
			return err
		}
	}
	if o.only != "scim" {
		if err := measureTokens(ctx, s, o, &r); err != nil {
			return err
		}
	}
	if o.baseline != "" {
		if err := compare(o.baseline, &r); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if o.save != "" {
		return os.WriteFile(o.save, append(text, '\n'), 0o600)
	}
	return nil
}

func compare(path string, r *report) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var base report
	if err := json.Unmarshal(text, &base); err != nil {
		return err
	}
	if base.Store != r.Store || base.Users != r.Users || base.Members != r.Members {
		return fmt.Errorf("the baseline measured %s with %d users and %d members", base.Store, base.Users, base.Members)
	}
	r.Against = map[string]comparison{}
	for name, now := range r.Results {
		if was, ok := base.Results[name]; ok {
			r.Against[name] = comparison{P50: ratio(now.P50, was.P50), CPU: ratio(now.CPU, was.CPU)}
		}
	}
	return nil
}

// measureSCIM imports people and groups, and measures what IdPs do all day.
func measureSCIM(ctx context.Context, s *server, o options, r *report) error {
	d, err := s.directory(ctx)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // start-up is over
	r.Memory["idle"] = s.memory("VmRSS")
	ids := make([]string, o.users)
	step := func(name string, n int, f func(ctx context.Context, n int) error) error {
		m, err := s.measure(ctx, n, o.c, f)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.add(name, m)
		return nil
	}
	small, large, err := "", "", error(nil)
	steps := []func() error{
		func() error {
			return step("create", o.users, func(ctx context.Context, n int) (err error) {
				ids[n], err = d.create(ctx, n)
				return err
			})
		},
		func() error {
			return step("lookup", o.operations, func(ctx context.Context, n int) error { return d.lookup(ctx, n*31%o.users, ids) })
		},
		func() error {
			if small, err = d.group(ctx, "small", ids[:min(10, o.members)]); err != nil {
				return err
			}
			large, err = d.group(ctx, "large", ids[:o.members])
			return err
		},
		func() error {
			return step("add and remove @10", o.operations/4, func(ctx context.Context, n int) error { return d.addRemove(ctx, small, ids[len(ids)-1-n]) })
		},
		func() error {
			return step("add and remove @"+strconv.Itoa(o.members), o.operations/4, func(ctx context.Context, n int) error { return d.addRemove(ctx, large, ids[len(ids)-1-n]) })
		},
		func() error {
			return step("read group without members", o.operations/4, func(ctx context.Context, _ int) error { return d.read(ctx, large, false, 0) })
		},
		func() error {
			return step("read group with members", 2, func(ctx context.Context, _ int) error { return d.read(ctx, large, true, o.members) })
		},
		func() error {
			return step("page by startIndex", 200, func(ctx context.Context, n int) error { return d.page(ctx, 1+n*(o.users-100)/200, o.users) })
		},
		func() error { return d.walk(ctx, o.users, r) },
		func() error {
			return step("deactivate", min(o.operations, o.users/2), func(ctx context.Context, n int) error { return d.deactivate(ctx, ids[n]) })
		},
	}
	for _, f := range steps {
		if err := f(); err != nil {
			return err
		}
	}
	r.Memory["peak"] = s.memory("VmHWM")
	r.Ratios["add and remove, large/small"] = ratio(r.Results["add and remove @"+strconv.Itoa(o.members)].P50, r.Results["add and remove @10"].P50)
	return nil
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return float64(int(a/b*100+0.5)) / 100
}
