package signin

import (
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Service is the operations on sign-ins.
type Service struct {
	db        db.DB
	vault     *keys.Vault
	tenants   *tenants.Service
	directory *directory.Service
	policy    *policy.Service
	rbac      *rbac.Service
	sessions  *sessions.Service
	clock     clock.Clock
	joiner    Joiner // nil: nobody is invited
	factors   *factor.Service
}

// Deps are what signing in stands on.
type Deps struct {
	DB        db.DB
	Vault     *keys.Vault
	Tenants   *tenants.Service
	Directory *directory.Service
	Policy    *policy.Service
	RBAC      *rbac.Service
	Sessions  *sessions.Service
	Clock     clock.Clock
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{
		db: d.DB, vault: d.Vault, tenants: d.Tenants, directory: d.Directory,
		policy: d.Policy, rbac: d.RBAC, sessions: d.Sessions, clock: d.Clock, factors: factor.New(d.DB, d.Vault, d.Clock),
	}
}

// Factors gives the service of what people prove themselves with, for others who
// ask for a proof.
func (s *Service) Factors() *factor.Service { return s.factors }
