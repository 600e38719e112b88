// Package browser is a browser without script for tests: it keeps cookies,
// follows redirects, and sends the forms that pages would send by themselves.
package browser
