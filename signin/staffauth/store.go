package staffauth

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	// Known and unknown people cost one statement.
	sqlCredentials    = `SELECT p.id, c.password_hash, c.break_glass FROM staff p JOIN staff_credentials c ON c.staff_id = p.id WHERE p.email_key = $1`
	sqlCredentialsOf  = `SELECT c.staff_id, c.password_hash, c.break_glass FROM staff_credentials c WHERE c.staff_id = $1`
	sqlPutCredentials = `INSERT INTO staff_credentials (staff_id, password_hash, break_glass, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (staff_id) DO UPDATE SET password_hash = $2, break_glass = $3, updated_at = $4`
	sqlSetPassword       = `UPDATE staff_credentials SET password_hash = $2, updated_at = $3 WHERE staff_id = $1`
	sqlDeleteCredentials = `DELETE FROM staff_credentials WHERE staff_id = $1`
	sqlDeleteIdentities  = `DELETE FROM staff_identities WHERE staff_id = $1`

	sqlPutLink = `INSERT INTO staff_links (staff_id, kind, hash, break_glass, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (staff_id, kind) DO UPDATE SET hash = $3, break_glass = $4, created_at = $5, expires_at = $6`
	sqlLink     = `SELECT staff_id, break_glass FROM staff_links WHERE hash = $1 AND kind = $2 AND expires_at > $3`
	sqlUseLink  = `DELETE FROM staff_links WHERE hash = $1 AND kind = $2 AND expires_at > $3 RETURNING staff_id, break_glass`
	sqlLinkMade = `SELECT created_at FROM staff_links WHERE staff_id = $1 AND kind = $2`
	// Credentials, a name at the provider, or a link of the operator's.
	sqlInUse = `SELECT (SELECT COUNT(*) FROM staff_credentials c WHERE c.staff_id = $1) + (SELECT COUNT(*) FROM staff_identities i WHERE i.staff_id = $1)
+ (SELECT COUNT(*) FROM staff_links l WHERE l.staff_id = $1 AND l.break_glass = TRUE AND l.expires_at > $2)`
	sqlDeleteLinks = `DELETE FROM staff_links WHERE staff_id = $1`

	sqlInsertFlow    = `INSERT INTO staff_flows (hash, staff_id, proof, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`
	sqlFlow          = `SELECT staff_id, proof FROM staff_flows WHERE hash = $1 AND expires_at > $2`
	sqlProveFlow     = `UPDATE staff_flows SET staff_id = $2, proof = $3 WHERE hash = $1`
	sqlAskFlow       = `UPDATE staff_flows SET question = $2 WHERE hash = $1`
	sqlQuestion      = `SELECT question FROM staff_flows WHERE hash = $1 AND expires_at > $2 AND question <> ''`
	sqlTakeQuestion  = `UPDATE staff_flows SET question = '' WHERE hash = $1 AND question = $2`
	sqlDeleteFlow    = `DELETE FROM staff_flows WHERE hash = $1`
	sqlDeleteFlowsOf = `DELETE FROM staff_flows WHERE staff_id = $1`

	sqlSSO    = `SELECT issuer, client_id, client_secret, email_domains, second_factor, enforced, version, updated_at FROM staff_sso WHERE id = 'staff'`
	sqlPutSSO = `INSERT INTO staff_sso (id, issuer, client_id, client_secret, email_domains, second_factor, enforced, version, updated_at)
VALUES ('staff', $1, $2, $3, $4, $5, $6, 1, $7)
ON CONFLICT (id) DO UPDATE SET issuer = $1, client_id = $2, client_secret = $3, email_domains = $4, second_factor = $5, enforced = $6, version = staff_sso.version + 1, updated_at = $7`
	sqlDeleteSSO      = `DELETE FROM staff_sso WHERE id = 'staff'`
	sqlIdentity       = `SELECT staff_id FROM staff_identities WHERE issuer = $1 AND subject = $2`
	sqlInsertIdentity = `INSERT INTO staff_identities (issuer, subject, staff_id, created_at, last_used_at) VALUES ($1, $2, $3, $4, $4)`
	sqlUseIdentity    = `UPDATE staff_identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2`
	sqlHasIdentity    = `SELECT COUNT(*) FROM staff_identities WHERE staff_id = $1 AND issuer = $2`

	sqlPurgeFlows = `DELETE FROM staff_flows WHERE expires_at < $1`
	sqlPurgeLinks = `DELETE FROM staff_links WHERE expires_at < $1`
)

// credentials are what somebody set for himself; the zero value is nobody's.
type credentials struct {
	StaffID      string
	PasswordHash string
	BreakGlass   bool // they serve where the vendor's provider is required
}

func scanCredentials(r db.Row) (c credentials, err error) {
	if err = r.Scan(&c.StaffID, &c.PasswordHash, &c.BreakGlass); errors.Is(err, db.ErrNotFound) {
		return credentials{}, nil
	}
	return c, err
}

// flow is a sign-in under way, of one browser.
type flow struct {
	hash    string
	StaffID string
	proof
}

// proof is what the person of a flow has proved so far, and what he has chosen.
type proof struct {
	Method string   `json:"method,omitempty"`
	AMR    []string `json:"amr,omitempty"`
	Second bool     `json:"second,omitempty"`
	// Of is the fingerprint of the password that was given, or the mark of the provider
	// that was believed: when another one was set meanwhile, nothing was proved.
	Of string `json:"of,omitempty"`
	// Password is the hash of the one that somebody with a link chose. It becomes his
	// with the second factor.
	Password   string `json:"password,omitempty"`
	BreakGlass bool   `json:"break_glass,omitempty"`
	Next       string `json:"next,omitempty"` // page to go on to
}

// newFlow begins a sign-in in the place of the one that the browser had.
func (s *Service) newFlow(ctx context.Context, q db.Queryer, old, staffID string, p proof) (cookie string, err error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	now := s.clock.Now()
	cookie = secret.Random()
	return cookie, q.Batch(ctx, []db.Stmt{
		{SQL: sqlDeleteFlow, Args: []any{secret.Hash(old)}},
		{SQL: sqlInsertFlow, Args: []any{secret.Hash(cookie), staffID, string(text), db.At(now), db.At(now.Add(flowLife))}},
	})
}

// flow finds the sign-in of a browser.
//
// Fault: BACKOFFICE_FLOW_EXPIRED.
func (s *Service) flow(ctx context.Context, q db.Queryer, cookie string) (f flow, err error) {
	if len(cookie) != maxFlow {
		return f, ErrFlow
	}
	f.hash = secret.Hash(cookie)
	var text string
	err = q.QueryRow(ctx, sqlFlow+q.Dialect().ForUpdate, f.hash, db.At(s.clock.Now())).Scan(&f.StaffID, &text)
	if errors.Is(err, db.ErrNotFound) {
		return f, ErrFlow
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &f.proof)
	}
	return f, err
}

func (s *Service) keep(ctx context.Context, q db.Queryer, f flow) error {
	text, err := json.Marshal(f.proof)
	if err == nil {
		_, err = q.Exec(ctx, sqlProveFlow, f.hash, f.StaffID, string(text))
	}
	return err
}

func scanSSO(r db.Row) (p Provider, sealed, domains string, err error) {
	var updated db.Time
	err = r.Scan(&p.Issuer, &p.ClientID, &sealed, &domains, &p.SecondFactor, &p.Enforced, &p.Version, &updated)
	p.UpdatedAt = updated.Time
	return p, sealed, domains, err
}
