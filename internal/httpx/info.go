package httpx

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// RequestIDHeader carries the request id in answers, and in requests of trusted proxies.
const RequestIDHeader = "X-Request-Id"

const (
	maxRequestID = 64
	maxUserAgent = 512 // bytes kept
	maxForwarded = 32  // hops read
)

// Info is what is known of a request before anybody is authenticated.
type Info struct {
	RequestID string
	IP        netip.Addr // of the client, see ClientIP; the zero Addr when unknown
	UserAgent string     // at most 512 bytes, valid UTF-8 without control characters
}

// Anonymous is the actor of a request that showed no credential yet, in an
// environment.
func Anonymous(r *http.Request, environment string) actor.Actor {
	i := InfoOf(r)
	return actor.Actor{
		Environment: environment, Kind: actor.Anonymous, Level: actor.NoLevel,
		RequestID: i.RequestID, IP: i.IP, UserAgent: i.UserAgent,
	}
}

type infoKey struct{}

// InfoOf gives the Info that Identify stored; the zero Info without Identify.
func InfoOf(r *http.Request) Info { return infoOf(r.Context()) }

func infoOf(ctx context.Context) Info {
	i, _ := ctx.Value(infoKey{}).(Info)
	return i
}

// Identify gives each request an id, which the answer repeats, and finds the
// client's address. A request id that comes through a trusted proxy is kept if
// it has at most 64 characters of letters, digits, dot, dash and underscore;
// everybody else's is replaced, so that nobody can forge lines of the log.
func Identify(trusted []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info := Info{IP: ClientIP(r, trusted), UserAgent: clean(r.UserAgent(), maxUserAgent)}
			if in := r.Header.Get(RequestIDHeader); sane(in) && contains(trusted, peer(r)) {
				info.RequestID = in
			} else {
				info.RequestID = id.New("req")
			}
			w.Header().Set(RequestIDHeader, info.RequestID)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), infoKey{}, info)))
		})
	}
}

// ClientIP finds the client's address: the peer of the connection or, while
// that is a trusted proxy, the entry that it appended to X-Forwarded-For, from
// right to left. The first address that is not a trusted proxy is the client;
// what stands to its left was written by the client and means nothing. An
// entry that is no address ends the walk at the proxy that passed it on.
// IPv4-mapped addresses are unmapped. At most the last 32 entries are read.
func ClientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ip := peer(r)
	if !contains(trusted, ip) {
		return ip
	}
	// Several headers are one list (RFC 9110 §5.3).
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := 0; n < maxForwarded && len(hops) > 0; n++ {
		hop := parseHop(hops[len(hops)-1])
		hops = hops[:len(hops)-1]
		if !hop.IsValid() {
			return ip
		}
		ip = hop
		if !contains(trusted, ip) {
			return ip
		}
	}
	return ip
}

// peer is the other end of the connection; the zero Addr for other transports.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(ap.Addr())
}

// parseHop reads an entry; some proxies append the port.
func parseHop(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr())
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return plain(ip)
}

func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func sane(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// clean cuts s to limit bytes and drops what is not printable text.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// LogHandler makes every record that is logged with a request's context carry
// its request_id.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, rec slog.Record) error {
	if i := infoOf(ctx); i.RequestID != "" {
		rec = rec.Clone()
		rec.AddAttrs(slog.String("request_id", i.RequestID))
	}
	return h.Handler.Handle(ctx, rec)
}

func (h logHandler) WithAttrs(a []slog.Attr) slog.Handler { return logHandler{h.Handler.WithAttrs(a)} }

func (h logHandler) WithGroup(g string) slog.Handler { return logHandler{h.Handler.WithGroup(g)} }
