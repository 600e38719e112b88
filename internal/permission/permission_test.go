package permission

import "testing"

func TestMatch(t *testing.T) {
	good := func(held, key string) {
		t.Helper()
		if !Match(held, key) || !NewSet(held).Has(key) {
			t.Errorf("%q should cover %q", held, key)
		}
	}
	bad := func(held, key string) {
		t.Helper()
		if Match(held, key) || NewSet(held).Has(key) {
			t.Errorf("%q should not cover %q", held, key)
		}
	}
	good("fe.secure.read.users", "fe.secure.read.users")
	good("fe.secure.*", "fe.secure.read.users")
	good("fe.*.users", "fe.secure.read.users")
	good("fe.secure.read.*", "fe.secure.read.users")
	good("*", "anything")
	good("a*a", "aa")
	good("a*b*c", "aXbYbZc")
	good("fe.connectivity.read.webhooks", "fe.connectivity.read.webhook") // product 3, trap C4
	good("fe.connectivity.write.webhook", "fe.connectivity.write.webhooks")
	good("fe.connectivity.*.webhook", "fe.connectivity.read.webhooks")
	bad("fe.connectivity.read.webhooks", "fe.connectivity.write.webhook")
	bad("fe.secure.read.webhooks", "fe.secure.read.webhook")
	bad("fe.connectivity.read.webhookss", "fe.connectivity.read.webhooks")
	bad("fe.secure.*", "fe.secure")       // the dot is literal
	bad("fe.secure.*", "xfe.secure.read") // anchored at the start
	bad("fe.*.users", "fe.secure.users2") // anchored at the end
	bad("a*a", "a")                       // a character counts once
	bad("fexsecure.read", "fe.secure")    // . is no wildcard
	bad("", "a")
	bad("fe.secure.read.users", "fe.secure.*") // a key asked for is never a pattern
}

func TestWithout(t *testing.T) {
	all := NewSet("fe.*", "fe.secure.write.users", "fe.connectivity.write.webhook")
	less := all.Without("*.write.webhooks").Without("*.delete.users")
	for key, want := range map[string]bool{
		"fe.secure.write.users": true, "fe.secure.delete.users": false, "fe.connectivity.write.webhook": false,
		"fe.connectivity.write.webhooks": false, "fe.connectivity.read.webhooks": true, "bo.read.users": false,
	} {
		if less.Has(key) != want {
			t.Errorf("%s: %v", key, !want)
		}
	}
	if !all.Has("fe.secure.delete.users") || (Set{}).Without("x").Has("y") {
		t.Error("the set itself changed, or grew")
	}
}
