// Command testreport reads the events of go test -json and prints what go test
// prints without -v: the output of tests that failed and a line per package.
// With -out it also writes the package lines and the number of passed and
// failed top-level tests, each count on a line of its own, for dev/test.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json (go doc test2json, go help buildjson).
type event struct {
	Action, Package, ImportPath, Test, Output string
	FailedBuild                               string
}

func main() {
	out := flag.String("out", "", "file for the package lines and counts")
	flag.Parse()
	r, err := report(os.Stdin, os.Stdout)
	if err == nil && *out != "" {
		err = os.WriteFile(*out, fmt.Appendf(nil, "%d\n%d\n%s", r.passed, r.failed, r.lines.String()), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if r.bad {
		os.Exit(1)
	}
}

type result struct {
	passed, failed int
	lines          strings.Builder // of packages
	bad            bool
}

func report(in io.Reader, out io.Writer) (*result, error) {
	var r result
	buffered := map[[2]string]*strings.Builder{} // by package and top-level test
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil { // not from a test: a message of the go command
			fmt.Fprintln(out, lines.Text())
			continue
		}
		test, _, sub := strings.Cut(e.Test, "/")
		key := [2]string{e.Package, test}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(out, e.Output)
		case e.Action == "build-fail":
			r.bad = true
		case e.Action == "output" && test != "":
			if buffered[key] == nil {
				buffered[key] = &strings.Builder{}
			}
			if line := strings.TrimLeft(e.Output, " "); !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- PASS") {
				buffered[key].WriteString(e.Output)
			}
		case e.Action == "output":
			fmt.Fprint(out, packageLine(&r, e.Output))
		case e.Action == "fail" && test == "":
			r.bad = true
			if e.FailedBuild != "" {
				r.failed++ // its tests cannot be counted
			}
			// Of a test that never ended, because the process died, no other event comes.
			for k, b := range buffered {
				if k[0] == e.Package {
					fmt.Fprint(out, b)
					r.failed++
					delete(buffered, k)
				}
			}
		case (e.Action == "pass" || e.Action == "skip" || e.Action == "fail") && !sub && test != "":
			if e.Action == "fail" {
				r.failed++
				r.bad = true
				fmt.Fprint(out, buffered[key])
			} else if e.Action == "pass" {
				r.passed++
			}
			delete(buffered, key)
		}
	}
	return &r, lines.Err()
}

// packageLine keeps the line that ends a package's run and drops what says nothing.
func packageLine(r *result, s string) string {
	switch {
	case s == "PASS\n", strings.HasPrefix(s, "?   \t"), strings.Contains(s, "[no test files]"), strings.HasPrefix(s, "-test.shuffle "):
		return ""
	case strings.HasPrefix(s, "ok  \t"), strings.HasPrefix(s, "FAIL\t"):
		r.lines.WriteString(s)
	}
	return s
}
