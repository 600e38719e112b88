// Package interop drives whole sign-ins through identity providers, and to
// applications, that others wrote. Its tests need those programs and stand behind
// the build tag interop; dev/interop/run installs the programs, starts the tests and
// says what is missing.
package interop
