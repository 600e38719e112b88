// Package ui is the look that every page shares: the style sheet and scripts
// under content-hashed names, the layouts, the strict headers, the error page
// and the page that posts a form to another origin by itself.
//
// Routes (mounted by the caller):
//
//	GET /assets/{name}.{hash}.{ext}   immutable assets, gzip prepared at start
//
// Pages are html/template files that a portal package embeds and hands to New.
// A file picks a layout and defines its content:
//
//	{{template "card" .}}
//	{{define "content"}}<h1>{{.Title}}</h1>{{end}}
//
// Layouts: "card" (one centred card: sign-in, errors; the page may define
// "foot"), "wide" (the same with room for a table) and "app" (the sidebar of a
// workspace; the page or a partial defines "nav"). Files whose name starts
// with an underscore are partials of all pages of the same file system. Each
// page renders one struct that embeds Page.
//
// Every page works without script, carries no inline style and states its
// language. Rendering is buffered: a page is sent whole or not at all.
package ui
