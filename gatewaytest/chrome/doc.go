// Package chrome is a person at a headless Chromium, for the tests of pages.
package chrome
