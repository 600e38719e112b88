// Package directory owns people: users, their memberships of tenants, what SCIM
// connections and single sign-on say about them, and groups.
//
// Tables: users, memberships, membership_sources, identities, identity_groups,
// tombstones, tombstone_subjects, groups, group_members, group_children.
//
// # Who is who
//
// A user belongs to an environment and has one membership per tenant. What an
// identity provider says stands on the membership and is seen in that tenant
// alone. A login is recognised by (connection, subject); an e-mail address is
// never a key by itself. What happens when a login or a SCIM create is not
// recognised is decided in one place, [decideLink] and [decideProvision]: pure
// functions of what one indexed statement found.
//
// A membership is usable when no admin disabled it, it has not expired, its SCIM
// resources were not all deleted, and it has no resource or an active one. Two
// SCIM connections may provision one person: each has a source row, and the
// oldest live source's attributes are the membership's.
//
// Whoever is invited has a membership on a user of his own, without an address, whom
// no search by e-mail finds until he accepts.
//
// # Keys
//
// E-mail addresses are compared by [EmailKey]: trimmed, NFC, lower case, the
// domain as IDNA A-labels. Compatibility forms and plus-addresses stay distinct,
// because mail systems may deliver them to different people.
//
// Operations run in the caller's transaction and record their audit events in it.
// What several writers batch into one round trip is exported as statements.
package directory
