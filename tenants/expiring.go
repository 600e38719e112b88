package tenants

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Owners of a certificate.
const (
	OwnerIdP = "idp" // the identity provider's
	OwnerSP  = "sp"  // ours
)

// ExpiringCertificate is a certificate of an active connection whose date comes
// near, or has passed, and of which somebody has to be told.
type ExpiringCertificate struct {
	Environment, Tenant        string
	Connection, ConnectionName string
	Owner                      string // OwnerIdP or OwnerSP
	Key                        string // the fingerprint of an IdP's key, the id of ours
	CertificatePEM             string
	NotAfter                   time.Time
	// Threshold is the last of 60, 30, 14, 7, 3 and 1 days before NotAfter that has
	// come; 0: the date has passed.
	Threshold int64
	// Follows says that the next key comes by metadata, with nobody doing anything.
	Follows bool
}

// SPKI is the hex SHA-256 of the certificate's public key; empty when the
// certificate cannot be read.
func (e ExpiringCertificate) SPKI() string {
	block, _ := pem.Decode([]byte(e.CertificatePEM))
	if block == nil {
		return ""
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// ExpiringCertificates lists certificates whose current threshold nobody was told
// of, those that end first at the front, at most limit. It goes over all tenants.
func (s *Service) ExpiringCertificates(ctx context.Context, q db.Queryer, limit int) ([]ExpiringCertificate, error) {
	rows, err := q.Query(ctx, sqlExpiringCertificates, db.At(s.clock.Now()), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []ExpiringCertificate
	for rows.Next() {
		var e ExpiringCertificate
		var notAfter db.Time
		var m Metadata // without an address when the key is not the metadata's
		err := rows.Scan(&e.Environment, &e.Tenant, &e.Connection, &e.ConnectionName, &e.Owner, &e.Key, &e.CertificatePEM, &notAfter, &e.Threshold,
			&m.URL, &m.TrustedHost, &m.Error)
		if err != nil {
			return nil, err
		}
		e.NotAfter, e.Follows = notAfter.Time, m.Error == "" && m.trusted(s.options.AllowHTTP)
		list = append(list, e)
	}
	return list, rows.Err()
}

// MarkWarned notes that the certificate's threshold is told in this transaction;
// false: it was already, or the certificate is another by now.
func (s *Service) MarkWarned(ctx context.Context, q db.Queryer, e ExpiringCertificate) (bool, error) {
	statement := sqlWarnIdPKey
	if e.Owner == OwnerSP {
		statement = sqlWarnSPKey
	}
	n, err := q.Exec(ctx, statement, e.Tenant, e.Connection, e.Key, e.Threshold, db.At(e.NotAfter))
	return n == 1, err
}
