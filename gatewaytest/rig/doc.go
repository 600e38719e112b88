// Package rig is the sign-in half of a gateway for tests: the domain on a given
// store with a clock that stands, the SAML and OpenID routes and the sign-in
// pages over HTTP, identity providers to log in at, and in the place of
// /oauth2/authorize an application that says where a sign-in arrived.
package rig
