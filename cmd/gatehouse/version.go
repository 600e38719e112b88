package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set at link time: -ldflags "-X main.release=v1.2.3".
var release = "dev"

type versionCmd struct{}

// Run prints version, commit and Go version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, version())
	return err
}

func version() string {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return fmt.Sprintf("gatehouse %s commit %s %s", release, commit, runtime.Version())
}
