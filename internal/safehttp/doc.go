// Package safehttp fetches from addresses that tenants give: SAML metadata,
// OpenID discovery, JWKS, token, userinfo and logout endpoints, webhooks.
//
// Such an address is hostile until shown otherwise: it may name a machine of
// our own network (server-side request forgery), answer without end, answer
// never, or redirect to where it may not point itself. A Client therefore
//
//   - asks for https, and refuses user information and odd spellings of an IP
//     address in the URL,
//   - decides on the address that is being dialled, after name resolution, so
//     that a name that resolves differently the second time (DNS rebinding)
//     gains nothing,
//   - follows no redirect, uses no proxy of the environment, and neither asks
//     for nor undoes compression,
//   - ends after a time and a number of bytes.
//
// Failures are *fault.Error. Their text says what to mend, but not which
// address a name resolved to: that would show a tenant our inner DNS.
package safehttp
