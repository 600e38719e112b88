// Package gatehouse is the root of Gatehouse, a SCIM 2.0 and single sign-on
// gateway for vendors of B2B software. A vendor runs it beside the application;
// the vendor's customers, the tenants, connect their identity providers to it.
//
// The package itself is empty. The command is cmd/gatehouse; the packages of
// the product stand beside this file, plumbing stands in internal. arch_test.go
// says which package may import which, and why.
package gatehouse
