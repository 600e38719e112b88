// Package gateway wires the whole server: the store, the domain, the surfaces
// and the jobs, in a straight list. The command and the in-process gateway of
// gatewaytest both build on it, so that tests run what operators run. It owns no
// tables and no rules.
package gateway
