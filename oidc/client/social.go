package client

import (
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errKeyIssuer = refuse("OIDC_KEY_ISSUER", "The identity provider's token is signed with a key that belongs to another directory.")

// judgeTemplate checks the issuer of a token whose provider stands for many
// directories: the token says which one it is of, and its issuer must be that one's,
// letter by letter; so must the key be, where the provider tells keys apart
// (Microsoft, "Secure applications and APIs by validating claims").
func (v verified) judgeTemplate(want expectation, log *checkLog) error {
	if !entra.Admits(want.issuer, v.TenantID) {
		return log.fail("tid", "a directory of "+want.issuer, v.TenantID, errEntraTenant)
	}
	expected := entra.IssuerOf(want.template, v.TenantID)
	if v.Issuer != expected {
		return log.fail("issuer", expected, v.Issuer, errIssuer)
	}
	if v.keyIssuer != "" && entra.IssuerOf(v.keyIssuer, v.TenantID) != v.Issuer {
		return log.fail("key issuer", v.Issuer, v.keyIssuer, errKeyIssuer)
	}
	log.pass("tid", "a directory of "+want.issuer, v.TenantID)
	return nil
}

// fits reports whether an issuer is of the template.
func fits(template, issuer string) bool {
	return entra.TenantOf(issuer) != "" && strings.EqualFold(entra.IssuerOf(template, entra.TenantOf(issuer)), issuer)
}

// socialIdentity reads who came through a connection of the environment. The
// subject alone says who he is; an address is to show, and what an invitation is
// compared with where the provider vouches for it. People without one may come.
func socialIdentity(conn tenants.SSOConnection, v verified, all map[string]any) (signin.Identity, error) {
	identity, err := identityOf(conn, v, all)
	if errors.Is(err, errNoEmail) {
		identity.Email, err = "", nil
	}
	if err != nil {
		return identity, err
	}
	identity.Protocol = signin.Social
	identity.Groups, identity.GroupsKnown, identity.GroupsOmitted, identity.Attributes = nil, false, false, nil
	if identity.Email == "" {
		identity.EmailVerified = nil
	}
	// How the person proved himself elsewhere is no evidence here (product 128).
	identity.AMR, identity.ACR, identity.AuthnContext = nil, "", ""
	return identity, nil
}
