package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

//go:generate go test -run TestConfigManual -update .

var update = flag.Bool("update", false, "write docs/config.md")

const manual = "../../docs/config.md"

// TestConfigManual keeps docs/config.md what the flags say.
func TestConfigManual(t *testing.T) {
	var c commands
	parser, err := kong.New(&c, kong.Name("gatehouse"), kong.DefaultEnvars("GATEHOUSE"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Configuration\nGenerated from the commands' flags. Flags beat environment beats file (`--config FILE`, TOML, keys named as the flags without dashes in front). An unknown key is an error. Every setting has a value that works.\n")
	for _, cmd := range parser.Model.Leaves(true) {
		fmt.Fprintf(&b, "\n## gatehouse %s\n%s\n", strings.TrimPrefix(cmd.Path(), "gatehouse "), cmd.Help)
		rows := 0
		for _, f := range cmd.Flags {
			if f.Hidden || f.Name == "help" {
				continue
			}
			if rows == 0 {
				b.WriteString("\n| flag | environment | default | what |\n|---|---|---|---|\n")
			}
			rows++
			value := f.Default
			if value != "" {
				value = "`" + value + "`"
			}
			help := f.Help
			if f.Required {
				help += " Required."
			}
			fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Name, strings.Join(f.Envs, "`, `"), value, strings.ReplaceAll(help, "|", "\\|"))
		}
	}
	if *update {
		if err := os.WriteFile(manual, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/config.md is not what the flags say; run: go generate ./cmd/gatehouse")
	}
}
