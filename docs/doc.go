// Package docs keeps what is written about Gatehouse honest: its test checks
// every RFC section that a comment cites against rfc-index.txt and generates
// conformance.md, which says for each section where it is done and tested.
package docs

//go:generate go test . -run "^Test(Conformance|Divergences)$" -count=1 -update
