package tenants

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/keys"
)

// CreateApplication registers a client of the OpenID provider and gives its
// secret, which is shown once; empty for public clients. The first application
// of an environment becomes its default.
func (s *Service) CreateApplication(ctx context.Context, a actor.Actor, q db.Queryer, in NewApplication) (Application, string, error) {
	now := s.clock.Now()
	app := Application{
		ID: id.New(id.Application), Environment: a.Environment, Type: in.Type,
		TenantAccess: cmp.Or(in.TenantAccess, AccessAll), UserAccess: cmp.Or(in.UserAccess, AccessAll),
		ApplicationSettings: in.ApplicationSettings, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if app.Name, err = checkName(in.Name, "name"); err != nil {
		return Application{}, "", err
	}
	switch app.Type {
	case Web, Machine:
		if app.AuthMethod == "" {
			app.AuthMethod = AuthBasic
		}
	case SPA, Native:
		if app.AuthMethod == "" {
			app.AuthMethod = AuthNone
		}
	default:
		return Application{}, "", invalid("invalid_type", "Choose web, spa, native or service.", "type")
	}
	if app.IDTokenAlg == "" {
		app.IDTokenAlg = "RS256" // what every OpenID relying party knows (OpenID Connect Core §15.1)
	}
	if app.AccessTokenAlg == "" {
		app.AccessTokenAlg = "ES256"
	}
	if app.AuthMethod == AuthNone {
		// A public client has nothing else that binds the code to it (RFC 9700 §2.1.1).
		app.RequirePKCE = true
	}
	if err := app.check(); err != nil {
		return Application{}, "", err
	}
	plain := ""
	if app.usesSecret() {
		plain = secret.New(secret.ClientSecret, app.ID)
		app.SecretHash = secret.Hash(plain)
	}
	settings, err := json.Marshal(app.ApplicationSettings)
	if err != nil {
		return Application{}, "", err
	}
	if err := lockEnvironment(ctx, q, app.Environment, q.Dialect().ForNoKeyUpdate); err != nil {
		return Application{}, "", err
	}
	row := q.QueryRow(ctx, sqlInsertApplication, app.Environment, app.ID, app.Name, app.Type, app.SecretHash, string(settings), db.At(now), string(app.TenantAccess), string(app.UserAccess))
	if err := row.Scan(&app.IsDefault); err != nil {
		return Application{}, "", err
	}
	return app, plain, s.record(ctx, a, q, "", "application.created", applicationTarget(app), nil)
}

// Application finds an application by its client id.
func (s *Service) Application(ctx context.Context, q db.Queryer, environment, clientID string) (Application, error) {
	if !id.Valid(id.Application, clientID) {
		return Application{}, ErrApplicationNotFound
	}
	return scanApplication(q.QueryRow(ctx, sqlApplication, environment, clientID))
}

// ApplicationStmt is Application as a statement that runs with others in one round
// trip; into is filled, or its zero value left.
func ApplicationStmt(environment, clientID string, into *Application) db.Stmt {
	if !id.Valid(id.Application, clientID) {
		clientID = "" // nobody's, and text that every store takes
	}
	return db.Stmt{SQL: sqlApplication, Args: []any{environment, clientID}, Scan: func(rows db.Rows) (err error) {
		for rows.Next() {
			if *into, err = scanApplication(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}}
}

// DefaultApplication finds where a login ends that no application began.
func (s *Service) DefaultApplication(ctx context.Context, q db.Queryer, environment string) (Application, error) {
	return scanApplication(q.QueryRow(ctx, sqlDefaultApplication, environment))
}

// Applications gives a page of applications in the order of their creation.
func (s *Service) Applications(ctx context.Context, q db.Queryer, environment string, after Position, limit int) ([]Application, *Position, error) {
	limit = page(limit)
	rows, err := q.Query(ctx, sqlApplications, environment, after.At.UnixMicro(), after.ID, limit+1)
	return scanApplications(rows, err, limit)
}

// scanApplications reads a page, of which there may be one row more.
func scanApplications(rows db.Rows, err error, limit int) ([]Application, *Position, error) {
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	list := make([]Application, 0, limit)
	for rows.Next() {
		if len(list) == limit {
			last := list[limit-1]
			return list, &Position{At: last.CreatedAt, ID: last.ID}, nil
		}
		app, err := scanApplication(rows)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, app)
	}
	return list, nil, rows.Err()
}

// HoldApplication finds an application that nobody else changes until the end of
// the transaction.
func (s *Service) HoldApplication(ctx context.Context, q db.Queryer, environment, clientID string) (Application, error) {
	return scanApplication(q.QueryRow(ctx, sqlApplication+q.Dialect().ForUpdate, environment, clientID))
}

// UpdateApplication changes what the patch names.
func (s *Service) UpdateApplication(ctx context.Context, a actor.Actor, q db.Queryer, clientID string, p ApplicationPatch) (Application, error) {
	if p.IsDefault != nil {
		if err := lockEnvironment(ctx, q, a.Environment, q.Dialect().ForNoKeyUpdate); err != nil {
			return Application{}, err
		}
	}
	before, err := s.HoldApplication(ctx, q, a.Environment, clientID)
	if err != nil {
		return Application{}, err
	}
	app := before
	if p.Name != nil {
		if app.Name, err = checkName(*p.Name, "name"); err != nil {
			return Application{}, err
		}
	}
	set(&app.RedirectURIs, p.RedirectURIs)
	set(&app.PostLogoutRedirectURIs, p.PostLogoutRedirectURIs)
	set(&app.BackchannelLogoutURI, p.BackchannelLogoutURI)
	set(&app.InitiateLoginURI, p.InitiateLoginURI)
	set(&app.RequirePKCE, p.RequirePKCE)
	set(&app.IDTokenAlg, p.IDTokenAlg)
	set(&app.AccessTokenAlg, p.AccessTokenAlg)
	// The keys stand here or there: who gives one takes the other away.
	if p.JWKS != nil {
		app.JWKS, app.JWKSURI = *p.JWKS, ""
	}
	if p.JWKSURI != nil {
		app.JWKS, app.JWKSURI = nil, *p.JWKSURI
	}
	set(&app.RequirePAR, p.RequirePAR)
	set(&app.RequireDPoP, p.RequireDPoP)
	set(&app.TokenExchange, p.TokenExchange)
	set(&app.TokenSettings, p.Tokens)
	set(&app.TenantAccess, p.TenantAccess)
	set(&app.UserAccess, p.UserAccess)
	if p.IsDefault != nil {
		if !*p.IsDefault && app.IsDefault {
			return Application{}, invalid("default_application", "Make another application the default instead.", "is_default")
		}
		app.IsDefault = *p.IsDefault
	}
	if app.AuthMethod == AuthNone {
		app.RequirePKCE = true
	}
	if err := app.check(); err != nil {
		return Application{}, err
	}
	return app, s.putApplication(ctx, a, q, before, &app)
}

// lockEnvironment fails with environment_not_found when the environment was deleted.
func lockEnvironment(ctx context.Context, q db.Queryer, environment, lock string) error {
	var locked string
	err := q.QueryRow(ctx, sqlLockEnvironment+lock, environment).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return ErrEnvironmentNotFound
	}
	return err
}

// RotateApplicationSecret gives an application a new secret; the old one ends at once.
func (s *Service) RotateApplicationSecret(ctx context.Context, a actor.Actor, q db.Queryer, clientID string) (Application, string, error) {
	before, err := s.HoldApplication(ctx, q, a.Environment, clientID)
	if err != nil {
		return Application{}, "", err
	}
	if !before.usesSecret() {
		return Application{}, "", fault.New(fault.Conflict, "public_client", "This client has no secret.")
	}
	app, plain := before, secret.New(secret.ClientSecret, clientID)
	app.SecretHash = secret.Hash(plain)
	return app, plain, s.putApplication(ctx, a, q, before, &app)
}

// DeleteApplication removes an application; its refresh tokens end with it,
// because every use looks the application up.
func (s *Service) DeleteApplication(ctx context.Context, a actor.Actor, q db.Queryer, clientID string) error {
	app, err := s.Application(ctx, q, a.Environment, clientID)
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteApplication, a.Environment, clientID); err != nil {
		return err
	}
	return s.record(ctx, a, q, "", "application.deleted", applicationTarget(app), nil)
}

func (s *Service) putApplication(ctx context.Context, a actor.Actor, q db.Queryer, before Application, app *Application) error {
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, app.Name)
	changed(changes, "backchannel_logout_uri", before.BackchannelLogoutURI, app.BackchannelLogoutURI)
	changed(changes, "initiate_login_uri", before.InitiateLoginURI, app.InitiateLoginURI)
	changed(changes, "require_pkce", before.RequirePKCE, app.RequirePKCE)
	changed(changes, "id_token_alg", before.IDTokenAlg, app.IDTokenAlg)
	changed(changes, "access_token_alg", before.AccessTokenAlg, app.AccessTokenAlg)
	changed(changes, "jwks", string(before.JWKS), string(app.JWKS))
	changed(changes, "jwks_uri", before.JWKSURI, app.JWKSURI)
	changed(changes, "require_par", before.RequirePAR, app.RequirePAR)
	changed(changes, "require_dpop", before.RequireDPoP, app.RequireDPoP)
	changed(changes, "token_exchange", before.TokenExchange, app.TokenExchange)
	changed(changes, "tokens", before.TokenSettings, app.TokenSettings)
	changed(changes, "tenant_access", before.TenantAccess, app.TenantAccess)
	changed(changes, "user_access", before.UserAccess, app.UserAccess)
	changed(changes, "is_default", before.IsDefault, app.IsDefault)
	changed(changes, "client_secret", before.SecretHash, app.SecretHash)
	if !slices.Equal(before.RedirectURIs, app.RedirectURIs) {
		changes["redirect_uris"] = audit.Change{From: before.RedirectURIs, To: app.RedirectURIs}
	}
	if !slices.Equal(before.PostLogoutRedirectURIs, app.PostLogoutRedirectURIs) {
		changes["post_logout_redirect_uris"] = audit.Change{From: before.PostLogoutRedirectURIs, To: app.PostLogoutRedirectURIs}
	}
	if len(changes) == 0 {
		return nil
	}
	settings, err := json.Marshal(app.ApplicationSettings)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	stmts := []db.Stmt{{SQL: sqlUpdateApplication, Args: []any{app.Environment, app.ID, app.Name, app.SecretHash, string(settings), app.IsDefault, db.At(now), string(app.TenantAccess), string(app.UserAccess)}}}
	if app.IsDefault && !before.IsDefault {
		stmts = slices.Insert(stmts, 0, db.Stmt{SQL: sqlClearDefaultApplication, Args: []any{app.Environment, app.ID}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return err
	}
	app.Version, app.UpdatedAt = app.Version+1, now
	return s.record(ctx, a, q, "", "application.updated", applicationTarget(*app), changes)
}

// check holds the settings to what the provider serves.
func (a *Application) check() error {
	if a.RedirectURIs == nil {
		a.RedirectURIs = []string{}
	}
	if len(a.RedirectURIs) > maxURIs || len(a.PostLogoutRedirectURIs) > maxURIs {
		return tooMany("50 addresses")
	}
	if len(a.RedirectURIs) == 0 && a.Type != Machine {
		return invalid("redirect_uri_required", "Give at least one redirect URI.", "redirect_uris")
	}
	for _, u := range a.RedirectURIs {
		if err := checkRedirectURI(u, a.Type, "redirect_uris"); err != nil {
			return err
		}
	}
	for _, u := range a.PostLogoutRedirectURIs {
		if err := checkRedirectURI(u, a.Type, "post_logout_redirect_uris"); err != nil {
			return err
		}
	}
	for _, u := range []struct{ value, field string }{{a.BackchannelLogoutURI, "backchannel_logout_uri"}, {a.InitiateLoginURI, "initiate_login_uri"}} {
		if u.value == "" {
			continue
		}
		if err := checkRedirectURI(u.value, Web, u.field); err != nil {
			return err
		}
	}
	for _, alg := range []struct{ value, field string }{{a.IDTokenAlg, "id_token_alg"}, {a.AccessTokenAlg, "access_token_alg"}} {
		if !slices.Contains([]string{"ES256", "RS256", "EdDSA"}, alg.value) {
			return invalid("invalid_algorithm", "Choose ES256, RS256 or EdDSA.", alg.field)
		}
	}
	for _, access := range []struct {
		value Access
		field string
	}{{a.TenantAccess, "tenant_access"}, {a.UserAccess, "user_access"}} {
		if access.value != AccessAll && access.value != AccessAssigned {
			return invalid("invalid_value", "Choose all or assigned.", access.field)
		}
	}
	methods := []string{AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthNone}
	if a.Type == Machine {
		methods = methods[:3]
	}
	if !slices.Contains(methods, a.AuthMethod) {
		return invalid("invalid_auth_method", "This authentication method is not available for this type of application.", "token_endpoint_auth_method")
	}
	if a.TokenExchange && a.AuthMethod == AuthNone {
		return invalid("public_client", "Only a client that proves itself may exchange tokens.", "token_exchange")
	}
	if err := a.TokenSettings.check(); err != nil {
		return err
	}
	return a.checkKeys()
}

// checkKeys holds a client that signs assertions to one place for its keys.
func (a *Application) checkKeys() error {
	switch {
	case len(a.JWKS) > 0 && a.JWKSURI != "":
		return invalid("invalid_jwks", "Give jwks or jwks_uri, not both.", "jwks_uri")
	case a.AuthMethod == AuthPrivateKeyJWT && len(a.JWKS) == 0 && a.JWKSURI == "":
		return invalid("jwks_required", "Give the client's public keys, or where they are published.", "jwks")
	case len(a.JWKS) > 0:
		if err := keys.CheckPublic(a.JWKS); err != nil {
			return invalid("invalid_jwks", "Give a JSON Web Key Set of 1 to 20 public signing keys: RSA of 2048 bits or more, EC or Ed25519.", "jwks")
		}
	case a.JWKSURI != "":
		return checkRedirectURI(a.JWKSURI, Web, "jwks_uri")
	}
	return nil
}

func applicationTarget(a Application) audit.Target {
	return audit.Target{Type: "application", ID: a.ID, Name: a.Name}
}

// set overwrites a value when there is a new one.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func scanApplication(r db.Row) (Application, error) {
	var a Application
	var settings string
	var created, updated db.Time
	err := r.Scan(&a.ID, &a.Environment, &a.Name, &a.Type, &a.SecretHash, &settings, (*string)(&a.TenantAccess), (*string)(&a.UserAccess), &a.IsDefault, &a.Version, &created, &updated)
	if errors.Is(err, db.ErrNotFound) {
		return Application{}, ErrApplicationNotFound
	}
	if err != nil {
		return Application{}, err
	}
	a.CreatedAt, a.UpdatedAt = created.Time, updated.Time
	return a, json.Unmarshal([]byte(settings), &a.ApplicationSettings)
}
