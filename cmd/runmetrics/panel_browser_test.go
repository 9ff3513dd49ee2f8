package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// panelPatience is how long the panel may take to show what it is to show, while other tests use the machine, too.
const panelPatience = 30 * time.Second

// openBrowser starts a browser that its tabs share.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	program := findBrowser(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	browser, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("close the browser: %v", err)
		}
		stop()
	})
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return browser
}

// findBrowser ends the test where there is none. Where everything must be tested, that is a failure.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "no chromium-headless-shell, chromium or google-chrome is installed")
	return ""
}

// tab is a page of the browser. Whatever the page complains of fails the test.
type tab struct {
	*testing.T
	ctx context.Context
	api string // where the panel is

	mu       sync.Mutex
	faults   []string
	tolerant bool // requests may fail: the server is away, or wants a key
}

// newTab opens a tab for the test.
func newTab(t *testing.T, browser context.Context, api string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	p := &tab{T: t, ctx: ctx, api: api}
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Errorf("the page complains: %s", fault)
		}
	})
	p.must(chromedp.Listen(ctx, p.listen))
	_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	p.must(err)
	p.size(1440, 900)
	return p
}

func (p *tab) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text = e.ExceptionDetails.Exception.Description
		}
		p.fault("exception: " + text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			p.fault(fmt.Sprintf("console.%s: %v", e.Type, e.Args))
		}
	case *log.EventEntryAdded:
		p.mu.Lock()
		tolerated := p.tolerant && e.Entry.Source == "network"
		p.mu.Unlock()
		if e.Entry.Level == "error" && !tolerated {
			p.fault(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *page.EventJavascriptDialogOpening:
		p.fault("a dialog opens: " + e.Message)
		go func() { // the page stands still until it is closed; here no command may be given
			_, _ = chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	}
}

func (p *tab) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// tolerate takes failed requests for expected from now on.
func (p *tab) tolerate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tolerant = true
}

// open loads the panel anew, at a view.
func (p *tab) open(view string) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(p.api+"/"+view)))
}

// reload is the browser's own button.
func (p *tab) reload() {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.Reload()))
}

// at goes to a view as a link does.
func (p *tab) at(view string) {
	p.Helper()
	p.do(fmt.Sprintf("location.hash = %q", view))
}

func (p *tab) size(width, height int64) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)))
}

// theme is what the system prefers: light or dark.
func (p *tab) theme(name string) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name},
			{Name: "prefers-reduced-motion", Value: "reduce"}}})
	p.must(err)
}

// eval evaluates an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (p *tab) do(statement string) {
	p.Helper()
	eval[chromedp.Void](p, statement)
}

// text is what an element shows, hidden words for screen readers included; empty where it is not there.
func (p *tab) text(selector string) string {
	p.Helper()
	return eval[string](p, fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector))
}

// texts are what the elements show, in order.
func (p *tab) texts(selector string) []string {
	p.Helper()
	return eval[[]string](p, fmt.Sprintf("[...document.querySelectorAll(%q)].map((node) => node.textContent)", selector))
}

// count is how many elements there are.
func (p *tab) count(selector string) int {
	p.Helper()
	return eval[int](p, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

// until waits for an expression to become true.
func (p *tab) until(what, expression string) {
	p.Helper()
	deadline := time.Now().Add(panelPatience)
	for !eval[bool](p, "Boolean("+expression+")") {
		if time.Now().After(deadline) {
			p.Fatalf("not within %s: %s. The page shows: %s", panelPatience, what,
				eval[string](p, "document.body.innerText.slice(0, 1500)"))
		}
	}
}

// settled waits until the view has its data and the stream is live.
func (p *tab) settled() {
	p.Helper()
	p.until("the panel is live", "document.documentElement?.dataset.connection === 'live'")
	p.until("the view has its data", "!document.querySelector('.blank, [aria-busy=true], .outdated')")
}

// click clicks as a mouse does.
func (p *tab) click(selector string) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.Click(chromedp.CSS(selector))))
}

// press presses keys, wherever the focus is.
func (p *tab) press(keys string) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// fill types over what a field has, and presses Enter.
func (p *tab) fill(selector, text string) {
	p.Helper()
	p.do(fmt.Sprintf("{ const field = document.querySelector(%q); field.focus(); field.select(); }", selector))
	p.press(text + "\r")
}

// screenshot keeps a picture of the page where RUNMETRICS_SCREENSHOTS names a directory.
func (p *tab) screenshot(name string) {
	p.Helper()
	dir := os.Getenv("RUNMETRICS_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	p.must(err)
	p.must(os.MkdirAll(dir, 0o755))
	p.must(os.WriteFile(dir+"/"+strings.ReplaceAll(name, " ", "-")+".png", picture, 0o644))
}
