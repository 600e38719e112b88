package chrome

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// OpenTab starts a browser that ends with the test and gives its tab, within three
// minutes. Under -short the test is skipped. What the policy of a page blocks on the
// page itself is in its variable "blocked".
func OpenTab(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("headless", true), chromedp.Flag("disable-gpu", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.Flag("no-sandbox", true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	// A page in the background shows no focus.
	Do(t, ctx, DevTools("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}))
	Do(t, ctx, DevTools("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `
		window.blocked = [];
		addEventListener("securitypolicyviolation", e => blocked.push(e.effectiveDirective + " " + e.blockedURI));`}))
	return ctx
}

// Do runs steps, and ends the test where one fails.
func Do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for n, step := range steps {
		if err := chromedp.Do(tab, step); err != nil {
			t.Fatalf("step %d: %v", n+1, err)
		}
	}
}

// DevTools sends a command of the DevTools protocol.
func DevTools(method string, params map[string]any) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error { return t.Call(ctx, method, params, nil) })
}

// Evaluate gives the value of an expression on the page; of a promise, what it comes to.
func Evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Wait evaluates an expression over the pages that come until it gives a text, for 15
// seconds at most.
func Wait(t *testing.T, tab context.Context, what, expression string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, 15*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		// An error is most often of a page that has just gone.
		if text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === "complete" && (`+expression+`) || ""`)); err == nil && text != "" {
			return text
		}
		_ = chromedp.Do(ctx, chromedp.Sleep(20*time.Millisecond)) // ends with ctx
	}
	page, _ := chromedp.Run(tab, chromedp.Evaluate[string]("location.href + ' ' + document.body?.innerText"))
	t.Fatalf("%s did not come: %s", what, page)
	return ""
}
