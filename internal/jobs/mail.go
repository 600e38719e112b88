package jobs

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/mail"
)

// Mail gives the statement by which a letter is sent when the transaction is done.
// tenant is empty for what is no tenant's affair.
//
// Error: mail.ErrMessage for an address that no mail reaches.
func Mail(environment, tenant string, l mail.Letter, to mail.Address, now time.Time) (db.Stmt, error) {
	m, err := l.To(to)
	if err != nil {
		return db.Stmt{}, err
	}
	payload, err := m.Payload()
	if err != nil {
		return db.Stmt{}, err
	}
	return Stmt(Job{Environment: environment, Tenant: tenant, Kind: mail.JobSend, Payload: payload, RunAt: now}), nil
}
