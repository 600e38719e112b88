// Package signin leads from an identity to a session.
//
// It owns the tables flows, sso_requests, sso_results, logins and
// break_glass_links.
//
// A sign-in is a flow. [Service.Begin] opens it, bound to the browser by the
// hash of the browser-id cookie; the home-realm page or the caller chooses a
// connection; a protocol package sends the browser to the identity provider
// ([Service.NewRequest]) and consumes the answer ([Service.TakeRequest]). What
// it verified becomes an [Identity], the only road from a protocol to a
// session, and is kept under a one-time handle ([Service.SaveResult]) in the
// transaction that consumed the request: the answer arrives as a cross-site
// POST without cookies, so the browser is proved on the same-site GET that
// follows. There [Service.Continue] runs the one place that decides: lifecycle
// of environment, tenant, connection, membership and user; the link to a person
// (design, identity rules 2 to 4); groups; policy; session.
//
// Beside it stand the test login ([Service.TestStart]), which goes the same way
// and signs nobody in; the login that an identity provider begins
// ([Service.StartUnsolicited]); SSO enforcement ([Service.Enforce]) with the way
// past it ([Service.BreakGlassCreate]); and the words for every code ([Explain]).
//
// Whoever was invited comes the same way: a flow of purpose join carries his
// invitation, and a [Joiner] (package onboarding) admits him before a row is written.
//
// A refusal is a value, not an error: its audit event and its entry in the
// login log commit while nothing else was written.
package signin
