// Package mail lays out and sends mail. It owns no table: a mail is a job of kind
// mail.send, enqueued in the transaction of what it tells of and sent after that.
//
// Letter is what a mail says; it becomes a Message with a text and an HTML part.
// A Sender brings messages on their way: to an SMTP server (RFC 5321) over TLS, or
// to the log where none is configured.
package mail
