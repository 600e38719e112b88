package htmlcheck_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
)

const frame = `<!doctype html><html lang="en"><title>T</title><main><h1>H</h1>%</main></html>`

func page(body string) []byte { return []byte(strings.Replace(frame, "%", body, 1)) }

func TestGoodPage(t *testing.T) {
	body := `<label for="e">E</label><input id="e" aria-describedby="x"><p id="x">bad</p><label>N <input></label><input type="hidden" name="h"><a href="/">go</a>`
	if faults := htmlcheck.Check(page(body)); faults != nil {
		t.Errorf("faults in a good page: %q", faults)
	}
}

func TestFaults(t *testing.T) {
	for body, want := range map[string]string{
		`<p style="color:red">x</p>`:                   "style attribute",
		`<style>p{}</style>`:                           "inline <style>",
		`<p onclick="x()">x</p>`:                       "onclick",
		`<p id="a">x</p><p id="a">y</p>`:               "given twice",
		`<input id="a">`:                               "without a label",
		`<input aria-label="a" aria-describedby="no">`: "not there",
		`<a href="javascript:alert(1)">x</a>`:          "leads to javascript",
		`<button></button>`:                            "without a name",
		`<h1>second</h1>`:                              "2 <h1>",
		`<table><tr><th>x</th></tr></table>`:           "without scope",
		`<a href="#ZgotmplZ">x</a>`:                    "ZgotmplZ",
		`<img src="/x.svg">`:                           "without alt",
	} {
		faults := htmlcheck.Check(page(body))
		if len(faults) == 0 || !strings.Contains(strings.Join(faults, "\n"), want) {
			t.Errorf("Check(%s) = %q, want a fault with %q", body, faults, want)
		}
	}
	if faults := htmlcheck.Check([]byte(`<p>x</p>`)); len(faults) < 4 {
		t.Errorf("a fragment has doctype, language, title, h1 and main missing; got %q", faults)
	}
}
