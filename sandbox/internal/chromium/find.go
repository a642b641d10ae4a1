package chromium

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// ErrNotFound says that there is no browser to start.
var ErrNotFound = errors.New("no Chromium or Chrome was found: install one (Debian, Ubuntu: apt-get install chromium; macOS: brew install --cask google-chrome) or set CHROME_PATH")

// names are what Chromium and Chrome are called, the freer one first.
var names = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// Find returns the path of the program that CHROME_PATH names or, without it, of
// the first of the usual names that is installed. It returns [ErrNotFound] when
// there is none.
func Find() (string, error) {
	if runtime.GOOS == "windows" {
		return "", fmt.Errorf("%w (browsers are not started on Windows)", ErrNotFound)
	}
	return find(os.Getenv("CHROME_PATH"), names)
}

func find(chosen string, names []string) (string, error) {
	if chosen != "" {
		program, err := exec.LookPath(chosen)
		if err != nil {
			return "", fmt.Errorf("%w (CHROME_PATH: %w)", ErrNotFound, err)
		}
		return program, nil
	}
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", ErrNotFound
}
