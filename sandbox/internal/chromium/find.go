package chromium

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// ErrNotFound is returned when no browser is installed.
var ErrNotFound = errors.New("no Chromium or Chrome was found: install one (Debian, Ubuntu: apt-get install chromium; macOS: brew install --cask google-chrome) or set CHROME_PATH")

// names are the usual names of Chromium and Chrome, Chromium first.
var names = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// Find returns the path of the program that CHROME_PATH names. If it is not set, Find
// returns the first of the usual names that is installed. The error wraps [ErrNotFound].
func Find() (string, error) {
	if runtime.GOOS == "windows" {
		return "", fmt.Errorf("%w (Windows is not supported)", ErrNotFound)
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
