package factor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestHash(t *testing.T) {
	h := NewHasher()
	ctx := t.Context()
	hash, err := h.Hash(ctx, "correct horse battery")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	again, err := h.Hash(ctx, "correct horse battery")
	if err != nil || again == hash {
		t.Error("two hashes of one password are alike")
	}
	verify := func(hash, password string, want bool) {
		t.Helper()
		if ok, stale, err := h.Verify(ctx, hash, password); ok != want || stale || err != nil {
			t.Errorf("%q: %v %v %v", password, ok, stale, err)
		}
	}
	verify(hash, "correct horse battery", true)
	verify(hash, "correct horse batterY", false)
	verify(hash, "", false)
	verify("", "", false)
	verify("", "correct horse battery", false)
	// One word, typed composed and decomposed, full width and not.
	accented, err := h.Hash(ctx, "Zu\u0308rich \uff21bc 2026")
	if err != nil {
		t.Fatal(err)
	}
	verify(accented, "Z\u00fcrich Abc 2026", true)
	// A hash of a former cost holds, and asks to be replaced.
	old := cost{memory: 8 << 10, time: 1, lanes: 1}
	s := salt()
	sum, err := h.sum(ctx, old, s, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if ok, stale, err := h.Verify(ctx, encode(old, s, sum), "correct horse battery"); !ok || !stale || err != nil {
		t.Errorf("former cost: %v %v %v", ok, stale, err)
	}
	for _, bad := range []string{"x", "$argon2i$v=19$m=8,t=1,p=1$AA$AA", strings.Replace(hash, "m=19456", "m=4294967295", 1), strings.TrimSuffix(hash, hash[len(hash)-10:]), strings.Replace(hash, "t=2", "t=0", 1)} {
		if _, _, err := h.Verify(ctx, bad, "x"); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// A flood of passwords is turned away and does not pile up.
func TestHasherIsBounded(t *testing.T) {
	h := NewHasher()
	for range cap(h.running) {
		h.running <- struct{}{} // every processor is at work
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	results := make(chan error, cap(h.waiting))
	for range cap(h.waiting) {
		wait.Go(func() {
			_, _, err := h.Verify(ctx, "", "x")
			results <- err
		})
	}
	for len(h.waiting) < cap(h.waiting) {
		select {
		case err := <-results:
			t.Fatal(err)
		default:
		}
	}
	if _, _, err := h.Verify(t.Context(), "", "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more waits: %v", err)
	}
	giveUp()
	wait.Wait()
	for range cap(h.waiting) {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
	}
	<-h.running
	if _, _, err := h.Verify(t.Context(), "", "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestRules(t *testing.T) {
	r := Rules{MinLength: MinAlone, Context: []string{"ada.lovelace@acme.example", "ada.lovelace", "acme", "Analytical Engines"}}
	short := Rules{MinLength: MinBeside}
	for _, c := range []struct {
		rules    Rules
		password string
		code     string
	}{
		{r, "correct horse battery", ""},
		{r, "пароль из нескольких слов", ""},
		{r, "密码密码不一样的一句话真的很长吧", ""},
		{r, "              x y z             ", ""}, // spaces count
		{r, strings.Repeat("long and longer ", 10) + "ab", ""},
		{r, "fourteen chars", "password_too_short"},
		{r, "", "password_too_short"},
		{r, strings.Repeat("é", 14), "password_too_short"},
		{r, strings.Repeat("ab cd ef", 200) + "x", "password_too_long"},
		{r, "correct horse\x00battery", "password_characters"},
		{r, "correct horse\nbattery!", "password_characters"},
		{r, "correct horse \xff battery", "password_characters"},
		{r, "aaaaaaaaaaaaaaaa", "password_common"},
		{r, "abcabcabcabcabcabc", "password_common"},
		{r, "ada.lovelace@acme.example", "password_context"},
		{r, "ACMEacme-Acme-1!", "password_context"},
		{r, "Analytical Engines 1", "password_context"},
		{r, "acme is not the whole of it", ""},
		{short, "password", "password_common"},
		{short, "Password1!", "password_common"},
		{short, "qwertyuiop", "password_common"},
		{short, "ｐａｓｓｗｏｒｄ", "password_common"}, // full width
		{short, "sunshine2024", "password_common"},
		{short, "tr0ub4dor and", ""},
		{short, "seven77", "password_too_short"},
	} {
		if err := c.rules.Check(c.password); fault.CodeOf(err) != c.code {
			t.Errorf("%.40q: %v, want %q", c.password, err, c.code)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := NewHasher()
	hash, err := h.Hash(b.Context(), "correct horse battery")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if ok, _, err := h.Verify(b.Context(), hash, "correct horse battery"); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRules(b *testing.B) {
	r := Rules{MinLength: MinBeside}
	for b.Loop() {
		if err := r.Check("correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}
