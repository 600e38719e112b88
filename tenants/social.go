package tenants

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Kinds of social connection. Google's issuer is known; Microsoft's stands for one
// directory or for many.
const (
	SocialGoogle    = "google"
	SocialMicrosoft = "microsoft"
	SocialOIDC      = "oidc" // any OpenID provider
)

// Statuses of a social connection.
const (
	SocialDraft    = "draft"
	SocialActive   = "active"
	SocialDisabled = "disabled"
)

// Issuers that come with a kind.
const (
	GoogleIssuer    = "https://accounts.google.com"
	MicrosoftIssuer = "https://login.microsoftonline.com/common/v2.0"
)

// maxSocial bounds the connections of an environment: each is a button.
const maxSocial = 20

// SocialConnection is an OpenID provider of an environment, through which people of
// any tenant that allows it sign in (product 3). Who comes through it is known by
// its subject alone: an e-mail address says nothing here.
type SocialConnection struct {
	Environment string
	ID          string
	Kind        string
	Name        string // of the provider, as the button shows it
	Status      string
	// Issuer never changes: another issuer's people are others, so it is another
	// connection. Of Microsoft it may be common, organizations or consumers.
	Issuer string
	SocialSettings
	// Secret is the client secret as stored: encrypted, bound to this row.
	// Service.SocialSecret opens it. Empty: there is none.
	Secret    string
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// SocialSettings is how the environment is known to the provider.
type SocialSettings struct {
	ClientID   string   `json:"client_id"`
	Scopes     []string `json:"scopes"`                // openid included
	AuthMethod string   `json:"auth_method,omitempty"` // empty: as discovery says
}

// NewSocial is what CreateSocial takes.
type NewSocial struct {
	Kind         string
	Name         string // empty: that of the kind
	Issuer       string // empty: that of the kind
	Status       string // empty: draft
	ClientSecret string
	SocialSettings
}

// SocialPatch changes what is not nil.
type SocialPatch struct {
	Name         *string
	Status       *string
	ClientID     *string
	ClientSecret *string // empty removes it
	Scopes       *[]string
	AuthMethod   *string
}

// ErrSocialNotFound answers the id of a social connection that the environment
// does not have.
var ErrSocialNotFound = fault.New(fault.NotFound, "connection_not_found", "There is no such social connection.")

// socialNames are those of the kinds that have one.
var socialNames = map[string]string{SocialGoogle: "Google", SocialMicrosoft: "Microsoft"}

// check holds a connection to what can work and fills what its kind brings.
func (c *SocialConnection) check(s *Service) error {
	switch c.Kind {
	case SocialGoogle:
		if c.Issuer == "" {
			c.Issuer = GoogleIssuer
		}
		if c.Issuer != GoogleIssuer {
			return invalid("invalid_issuer", "Google's issuer is https://accounts.google.com. Leave it out.", "issuer")
		}
	case SocialMicrosoft:
		if c.Issuer == "" {
			c.Issuer = MicrosoftIssuer
		}
		if !microsoftIssuer(c.Issuer) {
			return invalid("invalid_issuer", "Give https://login.microsoftonline.com/ followed by common, organizations, consumers or a directory's GUID, and /v2.0.", "issuer")
		}
	case SocialOIDC:
		switch {
		case !s.fetchable(c.Issuer) || strings.ContainsAny(c.Issuer, "?#"):
			return invalid("invalid_issuer", "Give the https issuer of the OpenID provider, without query and fragment (OpenID Connect Discovery §3).", "issuer")
		case kindOf(c.Issuer) == KindEntra || c.Issuer == GoogleIssuer:
			return invalid("invalid_kind", "Choose the kind google or microsoft for this issuer: its people are told apart in a way of their own.", "kind")
		}
	default:
		return invalid("invalid_kind", "Choose google, microsoft or oidc.", "kind")
	}
	var err error
	if c.Name == "" {
		c.Name = socialNames[c.Kind]
	}
	if c.Name, err = checkName(c.Name, "name"); err != nil {
		return err
	}
	if c.ClientID == "" || len(c.ClientID) > maxSetting || hasControl(c.ClientID) {
		return invalid("invalid_client_id", "Give the client ID that the provider issued.", "client_id")
	}
	scopes := OIDCSettings{Scopes: c.Scopes}
	if err := scopes.checkScopes(); err != nil {
		return err
	}
	c.Scopes = scopes.Scopes
	switch c.AuthMethod {
	case "", AuthBasic, AuthPost, AuthNone:
		return nil
	}
	return invalid("invalid_auth_method", "Choose client_secret_basic, client_secret_post or none.", "token_endpoint_auth_method")
}

// microsoftIssuer reports an issuer of the Microsoft identity platform, version 2,
// for one directory or for many.
func microsoftIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Port() != "" || kindOf(issuer) != KindEntra {
		return false
	}
	directory, rest, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch directory {
	case "common", "organizations", "consumers":
	default:
		if !isGUID(directory) {
			return false
		}
	}
	return rest == "v2.0"
}

// SocialOffers reports whether the connection signs people in: it is switched on,
// and so is the feature of its environment.
func (c SocialConnection) SocialOffers(env Environment) bool {
	return c.Status == SocialActive && env.Settings.FeatureOn(FeatureSocialLogin)
}

// Party is the connection as the relying party takes one. It belongs to no tenant.
func (c SocialConnection) Party() SSOConnection {
	return SSOConnection{
		ID: c.ID, Environment: c.Environment, Type: OIDC, Name: c.Name, Status: c.Status, Version: c.Version,
		OIDC: &OIDCSettings{Issuer: c.Issuer, ClientID: c.ClientID, Scopes: c.Scopes, AuthMethod: c.AuthMethod},
	}
}

// SocialSecret opens the client secret of a connection; empty when it has none.
func (s *Service) SocialSecret(_ context.Context, c SocialConnection) (string, error) {
	if c.Secret == "" {
		return "", nil
	}
	plain, err := s.vault.Open("social_connections", "secret", c.ID, c.Secret)
	return string(plain), err
}
