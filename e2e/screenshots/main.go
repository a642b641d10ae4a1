// Screenshots takes screenshots of the main pages, with the demo and Chromium:
//
//	go run ./e2e/screenshots -out docs/images
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/anchorconnect/connect/e2e/internal/chromium"
	"github.com/anchorconnect/connect/e2e/internal/demo"
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", "docs/images", "the output `directory`")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal("screenshots: ", err)
	}
}

// camera is the testing.TB of the tab. Where a test would end, it panics with a failure.
type camera struct{ cleanups []func() }

type failure struct{ error }

func (c *camera) Helper()          {}
func (c *camera) Cleanup(f func()) { c.cleanups = append(c.cleanups, f) }

func (c *camera) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (c *camera) close() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
}

func run(out string) (err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	app, err := demo.Start()
	if err != nil {
		return err
	}
	defer app.Close()
	browser, err := chromium.Start()
	if err != nil {
		return err
	}
	defer browser.Close()
	var c camera
	defer c.close()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			err = v.error
		default:
			panic(v)
		}
	}()

	takeAll(&c, browser.NewTab(&c), app.Origin, out)
	return nil
}

// takeAll goes through a flow in the demo and writes screenshots to the directory out.
func takeAll(c *camera, tab *chromium.Tab, origin, out string) {
	take := func(name string, width, height int64) {
		tab.Screen(width, height, 1, false)
		tab.Run(`document.activeElement.blur()`)
		if e := os.WriteFile(filepath.Join(out, name+".png"), tab.Screenshot(), 0o644); e != nil {
			c.Fatalf("%v", e)
		}
	}
	tab.ColorScheme("light")
	tab.Open(origin + "/?return_to=%2Freport")
	tab.Fill("[name=user]", "ada")
	tab.Click("form[action='/login'] button")
	tab.At(origin + "/connect")
	take("connect", 560, 520)
	tab.ColorScheme("dark")
	take("connect-dark", 560, 520)
	tab.ColorScheme("light")
	tab.Click("form[action='/connect'] button")
	tab.Wait(`document.readyState === "complete" && document.querySelector("button[value=cancel]")`)
	take("hosted", 560, 640)
	tab.Click("button[value=cancel]")
	tab.At(origin + "/identity-callback")
	take("cancelled", 560, 520)
	tab.Click("main a.button")
	tab.At(origin + "/connect")
	tab.Click("form[action='/connect'] button")
	tab.Click("button[value=approve]")
	tab.At(origin + "/report")
	tab.Open(origin + "/dashboard")
	tab.Click("summary")
	tab.Fill("details [name=label]", "home")
	tab.Click("details [action='/connect/label'] button")
	tab.Wait(`document.querySelector("h3")?.textContent === "home"`)
	tab.Fill("#new-Mail", "work")
	tab.Click("#new-Mail + button")
	tab.Click("button[value=approve]")
	tab.At(origin + "/dashboard?connected=true")
	take("dashboard", 820, 816)
	tab.Open(origin + "/connect?return_to=%2Fdashboard")
	take("accounts", 560, 924)
}
