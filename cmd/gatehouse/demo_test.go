package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDemo does what the demo prints, as a newcomer would: the pages in a
// browser, the commands in a shell.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	text := startDemo(t)
	app := regexp.MustCompile(`sample application\s+(http://\S+)`).FindStringSubmatch(text)[1]
	browser := openBrowser(t)

	// 1. Ada logs in, first through SAML, then through OpenID Connect.
	for _, connection := range []string{"Acme SAML", "Acme OpenID"} {
		tab := freshTab(t, browser)
		signIn(t, tab, app, connection, "Ada Byron")
		access := textOf(t, tab, "#access")
		for _, want := range []string{`"developer"`, `"projects.read"`, `"projects.write"`, `"email_verified": true`, `"type": "userToken"`} {
			if !strings.Contains(access, want) {
				t.Errorf("%s: the access token lacks %s:\n%s", connection, want, access)
			}
		}
		if strings.Contains(access, `"supporter"`) {
			t.Errorf("%s: Ada has a role of another group:\n%s", connection, access)
		}
	}

	// 2. Marie and her group come over SCIM; she logs in as that same person.
	steps := printedCommands(t, text)
	if len(steps) != 6 {
		t.Fatalf("the demo prints %d commands, not 6:\n%s", len(steps), strings.Join(steps, "\n---\n"))
	}
	out := shell(t, steps[:4])
	if !strings.Contains(out, "user res_") {
		t.Fatalf("no SCIM user was made:\n%s", out)
	}
	tab := freshTab(t, browser)
	signIn(t, tab, app, "Acme SAML", "Marie Skłodowska-Curie")
	if access := textOf(t, tab, "#access"); !strings.Contains(access, `"researcher"`) || !strings.Contains(access, `"papers.publish"`) {
		t.Errorf("Marie's token lacks the role of her pushed group:\n%s", access)
	}
	if users := shell(t, append(steps[:1:1], steps[4])); strings.Count(users, `"id":"usr_`) != 1 {
		t.Errorf("Marie is not one user:\n%s", users)
	}

	// 3. Deactivated, her refresh and her next login are refused.
	resource := regexp.MustCompile(`user (res_[a-z2-7]+)`).FindStringSubmatch(out)[1]
	shell(t, []string{steps[0], "RES=" + resource, steps[5]})
	do(t, tab, chromedp.Click(`//button[contains(., "Refresh the tokens")]`), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	if problem := textOf(t, tab, "[role=alert]"); !strings.Contains(problem, "invalid_grant") {
		t.Errorf("the refresh of a deactivated user answered %q", problem)
	}
	tab = freshTab(t, browser)
	chooseConnection(t, tab, app, "Acme SAML")
	do(t, tab, chromedp.Click(`//button[contains(., "Marie Skłodowska-Curie")]`), chromedp.WaitVisible(`//*[contains(., "POLICY_USER_DEPROVISIONED")]`))
}

// startDemo runs the demo on free ports and gives what it printed.
func startDemo(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan int, 1)
	var problems bytes.Buffer
	go func() { done <- run(ctx, []string{"demo", "--listen", "127.0.0.1:0"}, in, &problems); in.Close() }()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("the demo ended with %d: %s", code, problems.String())
		}
	})
	var text strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "new sign-in, with a page that says why") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			base := regexp.MustCompile(`gateway\s+(http://\S+)`).FindStringSubmatch(text.String())[1]
			waitReady(t, base)
			return text.String()
		}
	}
	t.Fatalf("the demo printed no end: %s\n%s", text.String(), problems.String())
	return ""
}

func waitReady(t *testing.T, base string) {
	t.Helper()
	for range 100 {
		if res, err := http.Get(base + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the demo does not become ready")
}

// printedCommands are the shell commands of the text: what stands unindented between
// empty lines and begins with a command word.
func printedCommands(t *testing.T, text string) []string {
	t.Helper()
	var list []string
	for _, block := range strings.Split(text, "\n\n") {
		if strings.HasPrefix(block, "export ") || strings.HasPrefix(block, "RES=") || strings.HasPrefix(block, "curl ") {
			list = append(list, block)
		}
	}
	return list
}

func shell(t *testing.T, commands []string) string {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.Join(commands, "\n"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func openBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.Flag("headless", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.Flag("no-sandbox", true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return ctx
}

// freshTab is a browser of its own, so that no session is left from before.
func freshTab(t *testing.T, allocator context.Context) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(stop)
	return ctx
}

func chooseConnection(t *testing.T, tab context.Context, app, connection string) {
	t.Helper()
	do(t, tab,
		chromedp.Navigate(app), chromedp.Click(`//a[contains(., "Acme Corp")]`),
		chromedp.Click(`//button[contains(., "`+connection+`")]`))
}

func signIn(t *testing.T, tab context.Context, app, connection, person string) {
	t.Helper()
	chooseConnection(t, tab, app, connection)
	do(t, tab, chromedp.Click(`//button[contains(., "`+person+`")]`), chromedp.WaitVisible(chromedp.CSS("#access")))
}

func do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for n, step := range steps {
		if err := chromedp.Do(tab, step); err != nil {
			page, _ := chromedp.Run(tab, chromedp.Text(chromedp.CSS("body")))
			t.Fatalf("step %d: %v\nthe page says:\n%s", n+1, err, page)
		}
	}
}

func textOf(t *testing.T, tab context.Context, selector string) string {
	t.Helper()
	text, err := chromedp.Run(tab, chromedp.TextContent(chromedp.CSS(selector)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
