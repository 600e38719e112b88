package safehttp

import (
	"net/netip"
	"testing"
)

func TestReason(t *testing.T) {
	good := func(ip string) {
		t.Helper()
		if why := reason(netip.MustParseAddr(ip), false); why != "" {
			t.Errorf("%s is refused: %s", ip, why)
		}
	}
	bad := func(ip string) {
		t.Helper()
		if reason(netip.MustParseAddr(ip), false) == "" {
			t.Errorf("%s is let through", ip)
		}
	}
	good("8.8.8.8")
	good("172.15.255.255")
	good("172.32.0.0")
	good("100.63.255.255")
	good("100.128.0.0")
	good("223.255.255.255")
	good("2606:4700::1111")
	good("2a00:1450:4001::1")
	bad("127.0.0.1")
	bad("127.255.255.254")
	bad("10.0.0.1")
	bad("172.16.0.1")
	bad("172.31.255.255")
	bad("192.168.0.1")
	bad("169.254.169.254") // cloud metadata
	bad("100.64.0.1")
	bad("100.100.100.200") // cloud metadata behind carrier-grade NAT space
	bad("0.0.0.0")         // connects to loopback on Linux
	bad("0.1.2.3")
	bad("192.0.0.192")
	bad("192.0.2.1")
	bad("198.18.0.1")
	bad("198.19.255.255")
	bad("198.51.100.7")
	bad("203.0.113.7")
	bad("224.0.0.251")
	bad("239.255.255.250")
	bad("240.0.0.1")
	bad("255.255.255.255")
	bad("::")
	bad("::1")
	bad("::ffff:127.0.0.1")
	bad("::ffff:169.254.169.254")
	bad("::127.0.0.1") // IPv4-compatible, outside 2000::/3
	bad("64:ff9b::7f00:1")
	bad("64:ff9b:1::a00:1")
	bad("fe80::1%eth0")
	bad("fe80::1")
	bad("fec0::1")
	bad("fc00::1")
	bad("fd00:ec2::254") // cloud metadata over IPv6
	bad("ff02::1")
	bad("2001::1")         // Teredo
	bad("2001:2::1")       // benchmarking
	bad("2001:db8::1")     // documentation
	bad("2002:7f00:1::")   // 6to4 of 127.0.0.1
	bad("3fff::1")         // documentation
	bad("100::1")          // discard
	bad("4000::1")         // not assigned
	bad("::ffff:0:7f00:1") // IPv4-translated

	for ip, let := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "::1": true, "fd00::1": true, "::ffff:127.0.0.1": true,
		"169.254.169.254": false, "fe80::1": false, "0.0.0.0": false, "224.0.0.1": false, "100.64.0.1": false,
	} {
		if got := reason(netip.MustParseAddr(ip), true) == ""; got != let {
			t.Errorf("with AllowPrivate, %s: let through %v, want %v", ip, got, let)
		}
	}
	if reason(netip.Addr{}, true) == "" {
		t.Error("no address is let through")
	}
}

func TestOddNumber(t *testing.T) {
	for _, h := range []string{"0x7f.1", "0X7F000001", "2130706433", "127.1", "0177.0.0.1", "1.2.3.4.5", "127.1.", "0x", "a.0x7f"} {
		if !oddNumber(h) {
			t.Errorf("%q is no odd number", h)
		}
	}
	for _, h := range []string{"localhost", "a1.example", "0x7f.example", "1.example.com", "xn--0", "", "."} {
		if oddNumber(h) {
			t.Errorf("%q is an odd number", h)
		}
	}
}
