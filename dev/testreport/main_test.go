package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	var out strings.Builder
	r, err := report(strings.NewReader(`{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"quiet\n"}
{"Action":"pass","Package":"a","Test":"TestGood/sub"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"--- FAIL: TestBad\n"}
{"Action":"output","Package":"b","Test":"TestBad/good","Output":"    --- PASS: TestBad/good\n"}
{"Action":"output","Package":"b","Test":"TestBad/sub","Output":"    reason\n"}
{"Action":"fail","Package":"b","Test":"TestBad/sub"}
{"Action":"fail","Package":"b","Test":"TestBad"}
{"Action":"output","Package":"b","Test":"TestDies","Output":"panic: x\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.1s\n"}
{"Action":"fail","Package":"b"}
{"ImportPath":"c","Action":"build-output","Output":"c.go:1: syntax error\n"}
{"ImportPath":"c","Action":"build-fail"}
{"Action":"output","Package":"c","Output":"FAIL\tc [build failed]\n"}
{"Action":"fail","Package":"c","FailedBuild":"c"}
go: a message
`), &out)
	if err != nil {
		t.Fatal(err)
	}
	if r.passed != 1 || r.failed != 3 || !r.bad {
		t.Errorf("passed %d, failed %d, bad %v", r.passed, r.failed, r.bad)
	}
	const want = "ok  \ta\t0.1s\n--- FAIL: TestBad\n    reason\nFAIL\tb\t0.1s\npanic: x\nc.go:1: syntax error\nFAIL\tc [build failed]\ngo: a message\n"
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
	if got := r.lines.String(); got != "ok  \ta\t0.1s\nFAIL\tb\t0.1s\nFAIL\tc [build failed]\n" {
		t.Errorf("lines\n%s", got)
	}
}
