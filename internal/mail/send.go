package mail

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"net/url"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/gatehouse-id/gatehouse/internal/id"
)

// JobSend is the kind of the job whose payload is a message.
const JobSend = "mail.send"

// A try to send ends after this time.
const sendTime = 30 * time.Second

// Sender brings a message on its way. An error that is ErrMessage is final.
type Sender interface {
	Send(context.Context, Message) error
}

// Open makes the sender that an address names: smtp://user:password@host:port,
// with port 587 and STARTTLS when nothing else is said, or smtps:// with TLS from
// the first byte on port 465. Parameters: from (required), a mailbox such as
// Gatehouse <no-reply@example.com>; starttls, one of required, optional, none. The
// empty address gives a sender that logs.
func Open(address string, log *slog.Logger) (Sender, error) {
	if address == "" {
		return logged{log}, nil
	}
	return open(address, nil)
}

// server sends to an SMTP server, with a connection for each message.
type server struct {
	host   string
	domain string // of the sender, for Message-IDs
	from   *netmail.Address
	opts   []gomail.Option
}

func open(address string, roots *tls.Config) (*server, error) {
	u, err := url.Parse(address)
	if err != nil { // its text holds the password
		return nil, errors.New("the mail address is not a URL; give smtp://user:password@host:587?from=no-reply@example.com")
	}
	s := &server{host: u.Hostname()}
	if u.Scheme != "smtp" && u.Scheme != "smtps" || s.host == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, errors.New("give the mail server as smtp://host:port or smtps://host:port, without a path")
	}
	values := u.Query()
	for name := range values {
		if name != "from" && name != "starttls" {
			return nil, fmt.Errorf("the mail address has no parameter %q; there are from and starttls", name)
		}
	}
	from, err := netmail.ParseAddress(values.Get("from"))
	if err != nil {
		return nil, errors.New("the mail address needs the sender: ?from=no-reply@example.com")
	}
	if s.from, err = (Address{Email: from.Address, Name: from.Name}).header(); err != nil {
		return nil, errors.New("the sender in the mail address is not a mailbox")
	}
	_, s.domain, _ = cutLast(s.from.Address, "@")
	return s, s.options(u, values.Get("starttls"), roots)
}

func (s *server) options(u *url.URL, starttls string, config *tls.Config) error {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.host}
	}
	port, policy := 587, gomail.TLSMandatory
	s.opts = []gomail.Option{gomail.WithTimeout(sendTime), gomail.WithTLSConfig(config), gomail.WithHELO(s.domain)}
	switch {
	case u.Scheme == "smtps" && starttls != "":
		return errors.New("smtps:// is TLS from the start: leave starttls out")
	case u.Scheme == "smtps":
		port = 465
		s.opts = append(s.opts, gomail.WithSSL())
	case starttls == "" || starttls == "required":
	case starttls == "optional":
		policy = gomail.TLSOpportunistic
	case starttls == "none":
		policy = gomail.NoTLS
	default:
		return errors.New("starttls is required, optional or none")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return errors.New("the port of the mail server is not a port")
		}
		port = n
	}
	s.opts = append(s.opts, gomail.WithTLSPolicy(policy), gomail.WithPort(port))
	if u.User != nil {
		password, _ := u.User.Password()
		if u.User.Username() == "" || password == "" {
			return errors.New("the mail address needs both user and password, or neither")
		}
		// The best that the server offers; without TLS none that shows the password.
		s.opts = append(s.opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	return nil
}

// Send implements Sender.
func (s *server) Send(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	to, err := m.To.header()
	if err != nil {
		return err
	}
	if m.ID == "" {
		m.ID = id.Raw()
	}
	msg := gomail.NewMsg()
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to)
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID + "@" + s.domain)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // no out-of-office answers (RFC 3834 §5)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	client, err := gomail.NewClient(s.host, s.opts...)
	if err != nil {
		return err
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("mail: no connection to the server: %w", err)
	}
	defer func() { _ = client.CloseWithSMTPClient(conn) }() // a bad good-bye does not unsend
	if err := client.SendWithSMTPClient(conn, msg); err != nil {
		return refused(err)
	}
	return nil
}

// refused tells a recipient that the server will never take from what may pass.
func refused(err error) error {
	var e *gomail.SendError
	if errors.As(err, &e) && !e.IsTemp() && e.Reason == gomail.ErrSMTPRcptTo {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return fmt.Errorf("mail: not sent: %w", err)
}

// logged writes messages to the log, for installations without a mail server.
type logged struct{ log *slog.Logger }

// Send implements Sender.
func (l logged) Send(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	l.log.InfoContext(ctx, "mail", "to", m.To.Email, "subject", m.Subject, "text", m.Text)
	return nil
}

// Deliver sends the message of a job's payload. What can never be sent is logged
// and given up; other errors are for another try.
func Deliver(ctx context.Context, s Sender, payload []byte, log *slog.Logger) error {
	var m Message
	err := json.Unmarshal(payload, &m)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrMessage, err)
	} else {
		err = s.Send(ctx, m)
	}
	if errors.Is(err, ErrMessage) {
		log.ErrorContext(ctx, "mail given up", "message", m.ID, "error", err)
		return nil
	}
	return err
}
