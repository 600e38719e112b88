package safehttp

import (
	"net/netip"
	"strings"
)

// refused lists what is not part of the public internet. Sources: the IANA
// special-purpose address registries for IPv4 and IPv6. For IPv6 everything
// outside 2000::/3 is refused as well, see reason.
var refused = []struct {
	prefix netip.Prefix
	why    string
	// private is reachable with Options.AllowPrivate.
	private bool
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", true},
	{netip.MustParsePrefix("::1/128"), "loopback", true},
	{netip.MustParsePrefix("10.0.0.0/8"), "private", true},
	{netip.MustParsePrefix("172.16.0.0/12"), "private", true},
	{netip.MustParsePrefix("192.168.0.0/16"), "private", true},
	{netip.MustParsePrefix("fc00::/7"), "unique local", true},
	{netip.MustParsePrefix("0.0.0.0/8"), "this network", false},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT", false},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local", false},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments", false},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", false},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay", false},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking", false},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", false},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", false},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", false},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast", false},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64", false},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64", false},
	{netip.MustParsePrefix("fe80::/10"), "link-local", false},
	{netip.MustParsePrefix("ff00::/8"), "multicast", false},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments, Teredo, benchmarking", false},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", false},
	{netip.MustParsePrefix("2002::/16"), "6to4", false},
	{netip.MustParsePrefix("3fff::/20"), "documentation", false},
}

var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// reason says why the address may not be dialled; empty when it may.
func reason(ip netip.Addr, allowPrivate bool) string {
	if !ip.IsValid() {
		return "no address"
	}
	// The same machine as its IPv4 form; an IPv6 zone would defeat Contains.
	ip = ip.Unmap().WithZone("")
	for _, r := range refused {
		if r.prefix.Contains(ip) {
			if r.private && allowPrivate {
				return ""
			}
			return r.why
		}
	}
	if ip.Is6() && !globalUnicast6.Contains(ip) {
		return "not global unicast"
	}
	return ""
}

// oddNumber reports whether a host that is no IP address would be read as one
// by some resolvers: 0x7f.1, 2130706433, 127.1, 0177.0.0.1. The rule is "ends
// in a number" of the WHATWG URL standard, host parsing.
func oddNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	label := host[strings.LastIndexByte(host, '.')+1:]
	if rest, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}
