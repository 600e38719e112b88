package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

// WebhookBody is an address that a tenant's events are sent to (product 73).
type WebhookBody struct {
	ID                 string     `json:"id"`
	Name               string     `json:"name"`
	URL                string     `json:"url"`
	EventTypes         []string   `json:"event_types"`
	Signature          string     `json:"signature" enum:"v1,v1a" doc:"v1: HMAC-SHA-256 under the secret; v1a: Ed25519"`
	PublicKeys         []string   `json:"public_keys" doc:"Of v1a, the newest first; a signature by any of them holds"`
	SecretRotatesUntil *time.Time `json:"secret_rotates_until" doc:"Until then the replaced secret signs as well"`
	Active             bool       `json:"active"`
	DisabledReason     *string    `json:"disabled_reason" doc:"null while it is active; manual; gone: it answered 410; failing: every attempt of five days failed"`
	DisabledAt         *time.Time `json:"disabled_at"`
	Failures           int64      `json:"failures" doc:"Failed attempts in a row"`
	FailingSince       *time.Time `json:"failing_since"`
	LastSuccessAt      *time.Time `json:"last_success_at"`
	LastFailureAt      *time.Time `json:"last_failure_at"`
	Version            int64      `json:"version"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
}

func (b WebhookBody) etag() string { return versionTag(b.Version) }

// webhookSecret is a webhook with its secret, when that is new.
type webhookSecret struct {
	WebhookBody
	Secret *string `json:"secret" doc:"Shown once; null of v1a, which has public_keys"`
}

func showWebhook(e webhooks.Endpoint) WebhookBody {
	b := WebhookBody{
		ID: e.ID, Name: e.Name, URL: e.URL, EventTypes: e.EventTypes, Signature: string(e.Signature), PublicKeys: e.PublicKeys,
		SecretRotatesUntil: optional(e.SecretRotatesUntil), Active: e.Active, DisabledReason: optionalText(string(e.Disabled)), DisabledAt: optional(e.DisabledAt),
		Failures: e.Failures, FailingSince: optional(e.FailingSince), LastSuccessAt: optional(e.LastSuccessAt), LastFailureAt: optional(e.LastFailureAt),
		Version: e.Version, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if b.PublicKeys == nil {
		b.PublicKeys = []string{}
	}
	return b
}

type createWebhook struct {
	TenantPath
	Body struct {
		Name       string   `json:"name,omitempty" maxLength:"200" doc:"The host of the url when absent"`
		URL        string   `json:"url" maxLength:"2000" doc:"https, on port 443 or 8443"`
		EventTypes []string `json:"event_types" minItems:"1" maxItems:"200" doc:"Keys of those that are offered to the tenant"`
		Signature  string   `json:"signature,omitempty" enum:"v1,v1a" doc:"v1 when absent"`
		Secret     string   `json:"secret,omitempty" maxLength:"200" doc:"Of v1: whsec_ and base64 of 24 to 64 bytes, or any text, whose bytes are then the key. One is made when absent"`
		Active     *bool    `json:"active,omitempty" doc:"true when absent"`
	}
}

// WebhookPath names a webhook.
type WebhookPath struct {
	TenantPath
	Webhook string `path:"w" maxLength:"63" doc:"Id of the webhook"`
}

type updateWebhook struct {
	WebhookPath
	Body struct {
		Name       *string   `json:"name,omitempty" maxLength:"200"`
		URL        *string   `json:"url,omitempty" maxLength:"2000"`
		EventTypes *[]string `json:"event_types,omitempty" minItems:"1" maxItems:"200" doc:"Replaces"`
		Active     *bool     `json:"active,omitempty" doc:"true forgets failures and sends what waited"`
	}
}

type rotateWebhookSecret struct {
	WebhookPath
	Body *struct {
		Secret string `json:"secret,omitempty" maxLength:"200" doc:"As at creation; one is made when absent"`
	}
}

type testWebhook struct {
	WebhookPath
	Body *struct {
		EventType string `json:"event_type,omitempty" maxLength:"100" doc:"One that the webhook subscribes to; the first when absent"`
	}
}

func (h *Handler) registerWebhooks() {
	const base, one = "/tenants/{t}/webhooks", "/tenants/{t}/webhooks/{w}"
	read(h, route{method: http.MethodGet, path: base, id: "listWebhooks", summary: "List a tenant's webhooks", permission: webhooks.PermissionRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[WebhookBody], error) {
			found, err := h.Webhooks.Endpoints(ctx, q, s.tenant.ID)
			return whole(found, showWebhook), err
		})
	write(h, route{method: http.MethodPost, path: base, id: "createWebhook", summary: "Have events sent to an address; the secret is shown once", permission: webhooks.PermissionWrite, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createWebhook) (webhookSecret, error) {
			b := in.Body
			e, secret, err := h.Webhooks.CreateEndpoint(ctx, s.actor, q, s.environment.ID, s.tenant.ID, webhooks.NewEndpoint{
				Name: b.Name, URL: b.URL, EventTypes: b.EventTypes, Signature: webhooks.Signature(b.Signature), Secret: b.Secret, Inactive: b.Active != nil && !*b.Active,
			})
			return webhookSecret{showWebhook(e), optionalText(secret)}, err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getWebhook", summary: "Show a webhook", permission: webhooks.PermissionRead},
		func(ctx context.Context, s scope, q db.Queryer, in *WebhookPath) (WebhookBody, error) {
			e, err := h.Webhooks.Endpoint(ctx, q, s.tenant.ID, in.Webhook)
			return showWebhook(e), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateWebhook", summary: "Change a webhook, or switch it off and on", permission: webhooks.PermissionWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *updateWebhook) (WebhookBody, error) {
			b := in.Body
			e, err := h.Webhooks.UpdateEndpoint(ctx, s.actor, q, s.tenant.ID, in.Webhook, webhooks.EndpointPatch{
				Name: b.Name, URL: b.URL, EventTypes: value(b.EventTypes), Active: b.Active,
			}, s.match)
			return showWebhook(e), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteWebhook", summary: "Remove a webhook and its log", permission: webhooks.PermissionDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *WebhookPath) error {
			return h.Webhooks.DeleteEndpoint(ctx, s.actor, q, s.tenant.ID, in.Webhook, s.match)
		})
	write(h, route{method: http.MethodPost, path: one + "/secret:rotate", id: "rotateWebhookSecret", summary: "Give a webhook another secret; the one before signs beside it for 24 hours", permission: webhooks.PermissionWrite},
		func(ctx context.Context, s scope, q db.Queryer, in *rotateWebhookSecret) (webhookSecret, error) {
			e, secret, err := h.Webhooks.RotateSecret(ctx, s.actor, q, s.tenant.ID, in.Webhook, value(in.Body).Secret, s.match)
			return webhookSecret{showWebhook(e), optionalText(secret)}, err
		})
	write(h, route{method: http.MethodPost, path: one + ":test", id: "testWebhook", summary: "Send an example of an event, once", permission: webhooks.PermissionWrite, status: http.StatusAccepted},
		func(ctx context.Context, s scope, q db.Queryer, in *testWebhook) (WebhookDelivery, error) {
			d, err := h.Webhooks.Test(ctx, s.actor, q, s.tenant.ID, in.Webhook, value(in.Body).EventType)
			return showDelivery(d), err
		})
}
