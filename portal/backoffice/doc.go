// Package backoffice holds the pages of the vendor's back office: how his people
// sign in (signin/staffauth), and what they see of their own account.
//
//	GET      /backoffice                       who one is, one's environments, factors and sessions
//	GET,POST /backoffice/login                 e-mail and password
//	POST     /backoffice/login/passkey         a passkey, which says itself who it is
//	POST     /backoffice/login/sso             → 303 to the vendor's OpenID provider
//	GET      /backoffice/sso/callback          takes its answer
//	GET,POST /backoffice/second                a second factor; POST /backoffice/second/key asks for a key
//	GET,POST /backoffice/enrol                 sets one up; POST /backoffice/enrol/key asks for a key
//	POST     /backoffice/continue              goes on when nothing more is asked
//	GET      /backoffice/welcome/{token}       moves a link's token from the address to a cookie
//	GET,POST /backoffice/welcome               says whose link it is; POST uses it up
//	GET,POST /backoffice/password              somebody with a link chooses a password
//	GET,POST /backoffice/forgot                mails a link to choose another one
//	GET      /backoffice/reset/{token}         moves its token from the address to a cookie
//	GET,POST /backoffice/reset                 sets the password
//	POST     /backoffice/logout                signs out
//	POST     /backoffice/sessions/end          ends one of one's sessions
//	GET,POST /backoffice/factors               adds an authenticator app or a key; POST …/key asks for a key
//	POST     /backoffice/factors/remove        takes one away
//	POST     /backoffice/factors/codes         gives new recovery codes
//	GET,POST /backoffice/account/password      changes the password
//
// All of it answers at the address of the default environment alone, that of the
// operator's --base-url: a host under which a tenant's people sign in has no back
// office. Pages for who is signed in are mounted through handle, which gives the
// visitor; they ask staffauth.Service.Actor what he may do in an environment.
package backoffice
