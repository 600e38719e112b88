package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// smtpServer is a mail server on loopback that keeps what it gets.
type smtpServer struct {
	t        *testing.T
	address  string
	config   *tls.Config
	starttls bool
	implicit bool
	auth     string // user:password that it asks for
	refuse   string // answer to RCPT

	mu       sync.Mutex
	mails    []string // "from to\n" and the message
	commands []string
}

func serveSMTP(t *testing.T, change func(*smtpServer)) *smtpServer {
	t.Helper()
	s := &smtpServer{t: t, config: certificate(t)}
	change(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *smtpServer) serve(c net.Conn) {
	defer func() { c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	secure := s.implicit
	if secure {
		c = tls.Server(c, s.config)
	}
	r := bufio.NewReader(c)
	say := func(lines ...string) { fmt.Fprint(c, strings.Join(lines, "\r\n")+"\r\n") }
	from, to := "", ""
	say("220 test")
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimRight(text, "\r\n")
		s.mu.Lock()
		s.commands = append(s.commands, text)
		s.mu.Unlock()
		verb, rest, _ := strings.Cut(text, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			answer := []string{"250-test"}
			if s.starttls && !secure {
				answer = append(answer, "250-STARTTLS")
			}
			if s.auth != "" {
				answer = append(answer, "250-AUTH PLAIN")
			}
			say(append(answer, "250 8BITMIME")...)
		case "STARTTLS":
			say("220 go on")
			c = tls.Server(c, s.config)
			r, secure = bufio.NewReader(c), true
		case "AUTH":
			_, b64, _ := strings.Cut(rest, " ")
			plain, _ := base64.StdEncoding.DecodeString(b64)
			if string(plain) != "\x00"+strings.Replace(s.auth, ":", "\x00", 1) {
				say("535 5.7.8 no")
				continue
			}
			say("235 ok")
		case "MAIL":
			from = rest
			say("250 ok")
		case "RCPT":
			if s.refuse != "" {
				say(s.refuse)
				continue
			}
			to = rest
			say("250 ok")
		case "DATA":
			say("354 go on")
			var body strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				body.WriteString(strings.TrimPrefix(l, "."))
			}
			s.mu.Lock()
			s.mails = append(s.mails, from+" "+to+"\n"+body.String())
			s.mu.Unlock()
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *smtpServer) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// trusting gives the client's side of a server's certificate.
func (s *smtpServer) trusting() *tls.Config {
	leaf, err := x509.ParseCertificate(s.config.Certificates[0].Certificate[0])
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

var umlauts = Message{
	ID: "m1", To: Address{Email: "ada@exämple.com", Name: "Áda „Graf“ Byron"}, Subject: "Zertifikat läuft ab — äöü ☂ and more than seventy-five characters to fold",
	Text: "Grüße\r\n.\r\n.dot\nlast line", HTML: "<p>Grüße</p>",
}

func TestSend(t *testing.T) {
	for name, c := range map[string]struct {
		scheme, query string
		change        func(*smtpServer)
	}{
		"STARTTLS with password": {"smtp://ada%40x:p%3Aw%2F@", "", func(s *smtpServer) { s.starttls, s.auth = true, "ada@x:p:w/" }},
		"TLS from the start":     {"smtps://u:p@", "", func(s *smtpServer) { s.implicit, s.auth = true, "u:p" }},
		"plain":                  {"smtp://", "&starttls=none", func(*smtpServer) {}},
		"optional, not offered":  {"smtp://", "&starttls=optional", func(*smtpServer) {}},
		"optional, offered":      {"smtp://", "&starttls=optional", func(s *smtpServer) { s.starttls = true }},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSMTP(t, c.change)
			sender, err := open(c.scheme+s.address+"?from=G%C3%A4te+%3Cno-reply@id.example%3E"+c.query, s.trusting())
			if err != nil {
				t.Fatal(err)
			}
			if err := sender.Send(t.Context(), umlauts); err != nil {
				t.Fatal(err)
			}
			mails := s.got()
			if len(mails) != 1 {
				t.Fatalf("%d mails", len(mails))
			}
			envelope, raw, _ := strings.Cut(mails[0], "\n")
			if !strings.HasPrefix(envelope, "FROM:<no-reply@id.example>") || !strings.Contains(envelope, "TO:<ada@xn--exmple-cua.com>") {
				t.Errorf("envelope %s", envelope)
			}
			checkMail(t, raw)
		})
	}
}

func checkMail(t *testing.T, raw string) {
	t.Helper()
	for l := range strings.SplitSeq(raw, "\r\n") {
		if len(l) > 998 || strings.ContainsFunc(l, func(r rune) bool { return r > 0x7e }) {
			t.Errorf("line %q", l)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var words mime.WordDecoder
	if got, err := words.DecodeHeader(m.Header.Get("Subject")); err != nil || got != umlauts.Subject {
		t.Errorf("subject %q, %v", got, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Name != umlauts.To.Name || to[0].Address != "ada@xn--exmple-cua.com" {
		t.Errorf("to %+v, %v", to, err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Name != "Gäte" {
		t.Errorf("from %+v, %v", from, err)
	}
	if m.Header.Get("Message-Id") != "<m1@id.example>" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("header %+v", m.Header)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []struct{ kind, body string }{{"text/plain; charset=UTF-8", umlauts.Text}, {"text/html; charset=UTF-8", umlauts.HTML}} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			r = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(r)
		if got := strings.ReplaceAll(string(b), "\r\n", "\n"); err != nil || p.Header.Get("Content-Type") != want.kind || strings.TrimSpace(got) != strings.ReplaceAll(want.body, "\r\n", "\n") {
			t.Errorf("part %s: %q, %v", p.Header.Get("Content-Type"), b, err)
		}
	}
}

// What a server must not get: a password without TLS, or anything from whom it
// cannot prove to be.
func TestSendRefused(t *testing.T) {
	refused := func(name string, s *smtpServer, address string, config *tls.Config, final bool) {
		t.Helper()
		sender, err := open(address, config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := sender.Send(ctx, umlauts); err == nil || errors.Is(err, ErrMessage) != final {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.got()) != 0 {
			t.Errorf("%s: a mail arrived", name)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.commands {
			if strings.Contains(c, base64.StdEncoding.EncodeToString([]byte("\x00u\x00p"))) {
				t.Errorf("%s: the password was shown", name)
			}
		}
	}
	const from = "?from=a@id.example"
	s := serveSMTP(t, func(*smtpServer) {})
	refused("no STARTTLS", s, "smtp://"+s.address+from, s.trusting(), false)
	s = serveSMTP(t, func(s *smtpServer) { s.auth = "u:p" })
	refused("password in clear", s, "smtp://u:p@"+s.address+from+"&starttls=none", s.trusting(), false)
	refused("no STARTTLS with password", s, "smtp://u:p@"+s.address+from, s.trusting(), false)
	s = serveSMTP(t, func(s *smtpServer) { s.starttls = true })
	refused("unknown certificate", s, "smtp://"+s.address+from, nil, false)
	s = serveSMTP(t, func(s *smtpServer) { s.starttls, s.refuse = true, "550 5.1.1 nobody" })
	refused("unknown recipient", s, "smtp://"+s.address+from, s.trusting(), true)
	s = serveSMTP(t, func(s *smtpServer) { s.starttls, s.refuse = true, "451 4.3.0 later" })
	refused("busy", s, "smtp://"+s.address+from, s.trusting(), false)
	s = serveSMTP(t, func(s *smtpServer) { s.starttls, s.auth = true, "u:other" })
	refused("wrong password", s, "smtp://u:wrong@"+s.address+from, s.trusting(), false)

	// Headers are checked by the sender too.
	s = serveSMTP(t, func(*smtpServer) {})
	sender, err := open("smtp://"+s.address+from+"&starttls=none", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := umlauts
	m.Subject = "a\r\nBcc: eve@evil.example"
	if err := sender.Send(t.Context(), m); !errors.Is(err, ErrMessage) || len(s.got()) != 0 {
		t.Errorf("%v", err)
	}
}

func TestOpen(t *testing.T) {
	for _, good := range []string{
		"smtp://mail.example?from=a@b.example", "smtp://mail.example:2525/?from=A+%3Ca@b.example%3E&starttls=optional", "smtps://u:p@mail.example?from=a@b.example", "",
	} {
		if _, err := Open(good, nil); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"mail.example", "http://mail.example?from=a@b.example", "smtp://?from=a@b.example", "smtp://mail.example", "smtp://mail.example?from=nobody",
		"smtp://mail.example?from=a@b.example&starttls=maybe", "smtps://mail.example?from=a@b.example&starttls=none", "smtp://u@mail.example?from=a@b.example",
		"smtp://mail.example/path?from=a@b.example", "smtp://mail.example?from=a@b.example&verify=no", "smtp://mail.example:99999?from=a@b.example",
		"smtp://u:s3cr3t%zz@mail.example?from=a@b.example", "smtp://mail.example?from=a@b.example%0d%0aBcc:x@y",
	} {
		if _, err := Open(bad, nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestDeliver(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	sender, err := Open("", log)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := umlauts.Payload()
	if err != nil {
		t.Fatal(err)
	}
	if err := Deliver(t.Context(), sender, payload, log); err != nil || !strings.Contains(out.String(), "ada@exämple.com") || !strings.Contains(out.String(), "last line") {
		t.Errorf("%v: %s", err, out.String())
	}
	// What can never be sent is not tried again.
	for _, never := range []string{`{`, `{"to":{"email":"nobody"},"subject":"s","text":"t"}`} {
		out.Reset()
		if err := Deliver(t.Context(), sender, []byte(never), log); err != nil || !strings.Contains(out.String(), "given up") {
			t.Errorf("%s: %v: %s", never, err, out.String())
		}
	}
	busy := serveSMTP(t, func(s *smtpServer) { s.refuse = "451 4.3.0 later" })
	later, err := open("smtp://"+busy.address+"?from=a@b.example&starttls=none", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Deliver(t.Context(), later, payload, log); err == nil {
		t.Error("a mail that was not taken is lost")
	}
}
