package saml

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// JobRefresh is the kind of the job that runs RefreshDue.
const JobRefresh = "saml.refresh_metadata"

const (
	refreshBatch  = 100
	refreshAtOnce = 8
	maxETag       = 256
	// unknownKeyTime bounds what a login waits for metadata, its own refresh or
	// another's.
	unknownKeyTime = 6 * time.Second
	unknownKeyPoll = 100 * time.Millisecond
)

var errNoMetadata = fault.New(fault.Conflict, "no_metadata_url", "The connection has no metadata address.").In("idp_metadata_url")

// FetchMetadata reads metadata at an address that somebody gives, and its ETag.
// It asks the network: never call it in a transaction.
//
// Faults, with the field idp_metadata_url: those of safehttp and of ParseIdPMetadata.
func (h *Handler) FetchMetadata(ctx context.Context, address string) (tenants.SAMLSettings, string, error) {
	d, err := h.readAddress(ctx, address, "", nil)
	if f, ok := fault.From(err); ok {
		return tenants.SAMLSettings{}, "", f.In("idp_metadata_url")
	}
	return d.Settings, d.ETag, err
}

// readAddress asks for a document, and for nothing when it is what the ETag says.
// What the type of the answer claims is not looked at: providers send several, and
// the parser is strict.
func (h *Handler) readAddress(ctx context.Context, address, etag string, keys []verify.Key) (tenants.MetadataDocument, error) {
	out := tenants.MetadataDocument{URL: address, ETag: etag}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return out, fault.New(fault.Invalid, safehttp.CodeURL, "This is not a URL.").Because(err)
	}
	r.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5")
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	resp, err := h.fetch.Do(r)
	switch {
	case err != nil:
		return out, err
	case resp.Status == http.StatusNotModified && etag != "":
		out.NotModified = true
		return out, nil
	case resp.Status != http.StatusOK:
		return out, fault.New(fault.Unavailable, safehttp.CodeStatus, "The address does not answer with a document.")
	}
	if out.ETag = resp.Header.Get("ETag"); len(out.ETag) > maxETag || strings.ContainsFunc(out.ETag, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
		out.ETag = ""
	}
	doc := bytes.TrimPrefix(resp.Body, []byte("\uFEFF")) // which Entra ID begins with
	if signed, by, bad := verify.VerifyMetadata(doc, keys); bad == nil {
		doc, out.SignedBy = signed, by
	}
	m, err := readIdPMetadata(doc, h.clock.Now())
	out.Settings, out.SSO, out.SLO, out.ReadAgain = m.settings, m.sso, m.slo, m.readAgain
	return out, err
}

// RefreshDue reads again what metadata is due, the longest due first and eight at
// a time, until none is left or the deadline of ctx is near; the next run goes
// on. What fails keeps its keys and is tried later.
func (h *Handler) RefreshDue(ctx context.Context) error {
	var last tenants.DueMetadata
	var failed []error
	for !endsSoon(ctx) {
		due, err := h.tenants.DueMetadata(ctx, h.db, last, refreshBatch)
		if err != nil || len(due) == 0 {
			return errors.Join(append(failed, err)...)
		}
		failed = append(failed, h.refreshAll(ctx, due)...)
		last = due[len(due)-1]
	}
	return errors.Join(failed...)
}

func (h *Handler) refreshAll(ctx context.Context, due []tenants.DueMetadata) []error {
	errs := make([]error, len(due))
	slots := make(chan struct{}, refreshAtOnce)
	var work sync.WaitGroup
	for i, d := range due {
		slots <- struct{}{}
		if endsSoon(ctx) {
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			mine, err := h.tenants.ClaimMetadata(ctx, h.db, d)
			if err == nil && mine {
				_, err = h.refresh(ctx, actor.Actor{Environment: d.Environment, Kind: actor.System}, d, d.ETag)
			}
			errs[i] = err
		})
	}
	work.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// endsSoon reports whether ctx leaves no time for another fetch and its record.
func endsSoon(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(end) < 2*safehttp.DefaultTimeout
}

// RefreshMetadata reads a connection's metadata now, because somebody asks for it.
// It asks the network: never call it in a transaction. That the address does not
// answer well is no error; it stands in what is returned.
//
// Faults: connection_not_found, no_metadata_url.
func (h *Handler) RefreshMetadata(ctx context.Context, a actor.Actor, tenant, connection string) (tenants.Metadata, error) {
	c, err := h.tenants.SSOConnection(ctx, h.db, tenant, connection)
	if err != nil {
		return tenants.Metadata{}, err
	}
	m, err := h.tenants.Metadata(ctx, h.db, tenant, connection)
	if err == nil && m.URL == "" {
		err = errNoMetadata
	}
	if err != nil {
		return m, err
	}
	d := tenants.DueMetadata{Environment: c.Environment, Tenant: tenant, Connection: connection, Metadata: m}
	if _, err := h.refresh(ctx, a, d, ""); err != nil {
		return m, err
	}
	return h.tenants.Metadata(ctx, h.db, tenant, connection)
}

// refresh reads one document and takes it over. Only what the store refuses is
// an error: an address that does not answer well is noted with its code.
func (h *Handler) refresh(ctx context.Context, a actor.Actor, d tenants.DueMetadata, etag string) (tenants.MetadataChange, error) {
	c, err := h.tenants.SSOConnection(ctx, h.db, d.Tenant, d.Connection)
	if errors.Is(err, tenants.ErrConnectionNotFound) || err == nil && c.SAML == nil {
		return tenants.MetadataChange{}, nil // deleted meanwhile
	}
	if err != nil {
		return tenants.MetadataChange{}, err
	}
	keys, err := trustedKeys(c.SAML.Keys)
	if err != nil {
		return tenants.MetadataChange{}, err
	}
	var change tenants.MetadataChange
	doc, why := h.readAddress(ctx, d.URL, etag, keys)
	if why == nil {
		why = h.db.Tx(ctx, func(q db.Queryer) error {
			if change, err = h.tenants.ApplyMetadata(ctx, a, q, d.Tenant, d.Connection, doc); err != nil {
				return err
			}
			return h.tellOfChange(ctx, q, c, d, change)
		})
	}
	switch {
	case why == nil || errors.Is(why, tenants.ErrConnectionNotFound):
		return change, nil
	case fault.KindOf(why) == 0:
		return tenants.MetadataChange{}, why
	case ctx.Err() != nil: // the silence is ours
		return tenants.MetadataChange{}, ctx.Err()
	}
	code := metadataCode(why)
	h.log.InfoContext(ctx, "metadata not refreshed", "connection", d.Connection, "code", code, "error", why)
	return tenants.MetadataChange{}, h.db.Tx(ctx, func(q db.Queryer) error {
		alarm, err := h.tenants.FailMetadata(ctx, a, q, d, code)
		if err != nil || !alarm {
			return err
		}
		return h.tellOfFailure(ctx, q, c, d, code)
	})
}

// metadataCode is how a failure stands in Metadata.Error: METADATA_ and what
// failed.
func metadataCode(err error) string {
	code := strings.ToUpper(fault.CodeOf(err))
	if !strings.HasPrefix(code, "METADATA_") {
		code = "METADATA_" + code
	}
	return code
}

// refreshOnUnknownKey reads the metadata of a connection whose identity provider
// signed with a key that is not trusted: once in 10 minutes over all replicas;
// logins that come meanwhile wait for it. It gives the connection with its keys,
// and whether they are others than before. What goes wrong is logged: the caller's
// refusal stands.
func (h *Handler) refreshOnUnknownKey(ctx context.Context, conn tenants.SSOConnection) (tenants.SSOConnection, bool) {
	ctx, cancel := context.WithTimeout(ctx, unknownKeyTime)
	defer cancel()
	err := h.readUnknownKey(ctx, conn)
	if err != nil {
		h.log.WarnContext(ctx, "metadata not read for an unknown key", "connection", conn.ID, "error", err)
		return conn, false
	}
	now, err := h.tenants.SSOConnection(ctx, h.db, conn.Tenant, conn.ID)
	if err != nil || now.SAML == nil {
		return conn, false
	}
	same := slices.EqualFunc(conn.SAML.Keys, now.SAML.Keys, func(a, b tenants.IdPKey) bool { return a.SPKI == b.SPKI })
	return now, !same
}

func (h *Handler) readUnknownKey(ctx context.Context, conn tenants.SSOConnection) error {
	m, err := h.tenants.Metadata(ctx, h.db, conn.Tenant, conn.ID)
	if err != nil || m.URL == "" {
		return err
	}
	mine, err := h.tenants.AskMetadata(ctx, h.db, conn.Tenant, conn.ID)
	if err != nil {
		return err
	}
	if mine {
		d := tenants.DueMetadata{Environment: conn.Environment, Tenant: conn.Tenant, Connection: conn.ID, Metadata: m}
		_, err := h.refresh(ctx, actor.Actor{Environment: conn.Environment, Kind: actor.System}, d, "")
		return err
	}
	if m, err = h.tenants.Metadata(ctx, h.db, conn.Tenant, conn.ID); err != nil {
		return err
	}
	tick := time.NewTicker(unknownKeyPoll)
	defer tick.Stop()
	for h.clock.Now().Sub(m.AskedAt) < unknownKeyTime && m.TriedAt.Before(m.AskedAt) {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if m, err = h.tenants.Metadata(ctx, h.db, conn.Tenant, conn.ID); err != nil {
			return err
		}
	}
	return nil
}
