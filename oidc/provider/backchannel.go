package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// logoutClaims are those of a logout token (OpenID Connect Back-Channel Logout
// §2.4). It has no nonce, so that it cannot stand for an ID token.
type logoutClaims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Session  string              `json:"sid"`
	TenantID string              `json:"tenantId"`
	Events   map[string]struct{} `json:"events"`
}

const (
	logoutTokenLife = 2 * time.Minute
	notifyEvery     = 2 * time.Second
)

// RegisterJobs gives the runner the jobs by which applications hear of the end
// of sessions.
func (h *Handler) RegisterJobs(r *jobs.Runner) {
	r.Register(sessions.JobLogout, h.BackchannelLogout)
	r.Register(sessions.JobEnded, func(ctx context.Context, _ jobs.Job) error { return h.sessions.NotifyEnded(ctx, h.db) })
	r.Every(sessions.JobEnded, notifyEvery)
}

// BackchannelLogout is the handler of sessions.JobLogout: it tells one
// application that one session ended. An application without an address for it
// or that is gone is told nothing. An answer of 4xx is final; anything else is
// tried again.
func (h *Handler) BackchannelLogout(ctx context.Context, j jobs.Job) error {
	var l sessions.Logout
	if err := json.Unmarshal(j.Payload, &l); err != nil {
		return fmt.Errorf("oidc: payload of %s: %w", j.Kind, err)
	}
	env, err := h.environments.ByID(ctx, l.Environment)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	app, err := h.tenants.Application(ctx, h.db, env.ID, l.Client)
	if errors.Is(err, tenants.ErrApplicationNotFound) || err == nil && app.BackchannelLogoutURI == "" {
		return nil
	}
	if err != nil {
		return err
	}
	now := h.clock.Now()
	token, err := h.ring.Sign(ctx, env.ID, app.IDTokenAlg, oidc.TypeLogoutToken, logoutClaims{
		Issuer: env.BaseURL, Subject: l.User, Audience: app.ID, IssuedAt: now.Unix(), Expires: now.Add(logoutTokenLife).Unix(), ID: id.Raw(),
		Session: l.Session, TenantID: l.Tenant, Events: map[string]struct{}{oidc.EventBackChannelLogout: {}},
	})
	if err != nil {
		return err
	}
	body := url.Values{"logout_token": {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, app.BackchannelLogoutURI, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := h.fetch.Do(req)
	if err != nil {
		return fmt.Errorf("oidc: back-channel logout of %s: %w", app.ID, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)) // so that the connection can serve again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout:
		h.log.LogAttrs(ctx, slog.LevelWarn, "oidc: application refuses back-channel logout", slog.String("client_id", app.ID), slog.Int("status", resp.StatusCode))
		return nil
	}
	return fmt.Errorf("oidc: back-channel logout of %s: status %d", app.ID, resp.StatusCode)
}
