// Package onboarding adds people to tenants: invitations by mail and by link.
//
// Tables: invitations, invitation_roles, invite_links, invite_link_roles.
//
// # By mail
//
// An invitation makes a membership of status invited at once, on a user of its
// own who has no address: no search finds him, so that nobody becomes a member
// unasked, and the answer is the same whether or not the address is known in the
// environment. The mail carries a token of which the hash is stored. Opening it
// consumes nothing, because scanners open mails too; the button begins a sign-in
// that carries the invitation.
//
// The invitation is bound to its address. Who comes with the token through the
// tenant's identity provider under that address becomes the member, whether or not
// the tenant verified the domain; under another address he is refused. Who is
// signed in already, as a user of the environment who proved that address, may
// take the membership with him (design, identity rule 4). Who comes without the
// token through the tenant's identity provider is whom the tenant invited too
// (rule 3), as long as the tenant verified the domain of the address.
//
// # By link
//
// A link adds whoever follows it, up to its number of uses, with the roles that
// its creator had when he made it, or some that he chose.
//
// # Power is asked for twice
//
// The level rule holds when somebody invites (product 121), and again when the
// invited person comes: the roles are narrowed to what the inviter may grant then,
// and without anything left, or when he was removed, disabled or may no longer
// invite, the invitation is void (product 124). So are the tenant's rules about
// e-mail domains (product 52).
package onboarding
