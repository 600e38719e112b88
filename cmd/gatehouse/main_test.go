package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run the whole command in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gatehouse": main,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
