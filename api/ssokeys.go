package api

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type idpKeyPath struct {
	SSOPath
	SPKI string `path:"spki" maxLength:"64" doc:"Hex SHA-256 of the public key"`
}

type spKeyPath struct {
	SSOPath
	Key string `path:"key" maxLength:"63" doc:"Id of the key"`
}

// registerSSOKeys serves the keys of both sides, and the metadata that they come by.
func (h *Handler) registerSSOKeys() {
	read(h, route{method: http.MethodPost, path: ssoOne + ":refresh-metadata", id: "refreshSSOMetadata", summary: "Read the identity provider's metadata at its address now", permission: ssoWrite},
		func(ctx context.Context, s scope, _ db.Queryer, in *SSOPath) (out ssoBody, err error) {
			if _, err := h.RefreshIdPMetadata(ctx, s.actor, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			return h.current(ctx, s, h.DB, in.Connection)
		})
	write(h, route{method: http.MethodPost, path: ssoOne + "/idp-keys/{spki}:approve", id: "approveIdPKey", summary: "Trust a key of the identity provider that waits for approval", permission: ssoWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *idpKeyPath) (out ssoBody, err error) {
			if err := h.Tenants.ApproveIdPKey(ctx, s.actor, q, s.tenant.ID, in.Connection, in.SPKI); err != nil {
				return out, err
			}
			return h.current(ctx, s, q, in.Connection)
		})
	remove(h, route{method: http.MethodDelete, path: ssoOne + "/idp-keys/{spki}", id: "deleteIdPKey", summary: "Stop trusting a key of the identity provider, or refuse one that waits", permission: ssoWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *idpKeyPath) error {
			return h.Tenants.RemoveIdPKey(ctx, s.actor, q, s.tenant.ID, in.Connection, in.SPKI)
		})
	read(h, route{method: http.MethodGet, path: ssoOne + "/sp-keys", id: "listSPKeys", summary: "List our keys at a connection", permission: ssoRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) (out list[spKeyBody], err error) {
			if _, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			keys, err := h.Tenants.SPKeys(ctx, q, s.tenant.ID, in.Connection)
			return whole(keys, showSPKey), err
		})
	read(h, route{method: http.MethodPost, path: ssoOne + "/sp-keys", id: "createSPKey", summary: "Make the next key; it is published beside the active one until it is activated", permission: ssoWrite, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *SSOPath) (out spKeyBody, err error) {
			if _, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			if err := h.Tenants.ReadySPKey(); err != nil {
				return out, err
			}
			return commit(ctx, h, s, func(q db.Queryer) (spKeyBody, error) {
				k, err := h.Tenants.RotateSPKey(ctx, s.actor, q, s.tenant.ID, in.Connection)
				return showSPKey(k), err
			})
		})
	write(h, route{method: http.MethodPost, path: ssoOne + "/sp-keys/{key}:activate", id: "activateSPKey", summary: "Sign with the next key from now on; the one before still decrypts", permission: ssoWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *spKeyPath) (out list[spKeyBody], err error) {
			if err := h.Tenants.ActivateSPKey(ctx, s.actor, q, s.tenant.ID, in.Connection, in.Key); err != nil {
				return out, err
			}
			keys, err := h.Tenants.SPKeys(ctx, q, s.tenant.ID, in.Connection)
			return whole(keys, showSPKey), err
		})
	remove(h, route{method: http.MethodDelete, path: ssoOne + "/sp-keys/{key}", id: "deleteSPKey", summary: "Delete a key of ours that is not active; what is encrypted to it cannot be read any more", permission: ssoWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *spKeyPath) error {
			return h.Tenants.DeleteSPKey(ctx, s.actor, q, s.tenant.ID, in.Connection, in.Key)
		})
	read(h, route{method: http.MethodGet, path: "/sso-presets", id: "listSSOPresets", summary: "Show what to enter at each kind of identity provider, and what it sends", permission: staff.ReadEnvironment},
		func(context.Context, scope, db.Queryer, *struct{}) (list[presetBody], error) {
			return whole(tenants.Presets(), showPreset), nil
		})
}

func (h *Handler) current(ctx context.Context, s scope, q db.Queryer, connection string) (ssoBody, error) {
	c, err := h.Tenants.SSOConnection(ctx, q, s.tenant.ID, connection)
	if err != nil {
		return ssoBody{}, err
	}
	return h.showWhole(ctx, s, q, c, nil)
}

type presetBody struct {
	Kind       string            `json:"kind"`
	Name       string            `json:"name"`
	Protocols  []string          `json:"protocols"`
	SAML       []presetField     `json:"saml" doc:"Fields of its console for SAML"`
	OIDC       []presetField     `json:"oidc" doc:"Fields of its console for OpenID Connect"`
	Attributes []presetAttribute `json:"attributes" doc:"Attributes to add there; none of them needs a mapping"`
	Defaults   attributeMapping  `json:"defaults" doc:"Names under which values arrive when nothing is added"`
	Groups     string            `json:"groups" doc:"How groups are made to arrive"`
	Notes      []string          `json:"notes"`
}

type presetField struct {
	Label string `json:"label"`
	Of    string `json:"of" enum:",acs_url,entity_id,metadata_url,slo_url,login_url,redirect_uri,acs_url_regex,sp_certificate" doc:"The connection's value that goes there; empty: value"`
	Value string `json:"value" doc:"What to enter as it stands"`
}

type presetAttribute struct {
	Name string `json:"name"`
	From string `json:"from"`
}

func showPreset(p tenants.Preset) presetBody {
	out := presetBody{
		Kind: p.Kind, Name: p.Name, Protocols: p.Protocols, SAML: []presetField{}, OIDC: []presetField{}, Attributes: []presetAttribute{},
		Defaults: attributeMapping(p.Defaults), Groups: p.Groups, Notes: texts(p.Notes),
	}
	for _, f := range p.SAML {
		out.SAML = append(out.SAML, presetField(f))
	}
	for _, f := range p.OIDC {
		out.OIDC = append(out.OIDC, presetField(f))
	}
	for _, a := range p.Attributes {
		out.Attributes = append(out.Attributes, presetAttribute(a))
	}
	return out
}
