package login

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
)

// The browser of this package's tests, for those that serve a whole rig, which
// this package cannot import.

func OpenTab(t *testing.T) context.Context { t.Helper(); return openTab(t) }

func Do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	do(t, tab, steps...)
}

func DevTools(method string, params map[string]any) chromedp.Action[chromedp.Void] {
	return devtools(method, params)
}

func Evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	return evaluate[T](t, tab, script)
}
