// Package keys holds what is secret: the master key that protects secrets at
// rest, and the signing keys of each environment.
//
// It owns signing_keys and key_checks. [Vault] encrypts and authenticates values
// under keys derived from the master key; [Ring] signs and verifies the
// environment's own tokens and publishes its key set (RFC 7517 §5).
//
// A signing key is next, then active, then retired. The set shows all three: a
// key is there before the first token that it signs, and until the last one has
// expired, so that applications which keep the set for a while never meet an
// unknown key.
package keys
