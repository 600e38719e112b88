package entitlement

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// The statements of the package. Features, plans and flags stand above tenants and
// lead with environment_id; entitlements are a tenant's and have tenant_id as $1.

const (
	sqlCountFeatures = `SELECT COUNT(*) FROM features WHERE environment_id = $1`

	sqlInsertFeature = `INSERT INTO features (environment_id, id, key, name, description, metadata, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`

	sqlUpdateFeature = `UPDATE features SET name = $3, description = $4, metadata = $5, updated_at = $6, version = version + 1
WHERE environment_id = $1 AND id = $2`

	sqlDeleteFeature = `DELETE FROM features WHERE environment_id = $1 AND id = $2`

	sqlLockFeature = `SELECT id FROM features WHERE environment_id = $1 AND id = $2`

	selectFeatures = `SELECT f.id, f.key, f.name, f.description, f.metadata, f.version, f.created_at, f.updated_at, COALESCE(p.key, '')
FROM features f
LEFT JOIN feature_permissions fp ON fp.environment_id = f.environment_id AND fp.feature_id = f.id
LEFT JOIN permissions p ON p.environment_id = fp.environment_id AND p.id = fp.permission_id
WHERE f.environment_id = $1`

	sqlFeatures = selectFeatures + ` AND f.id IN (SELECT x.id FROM features x WHERE x.environment_id = $1 AND x.key > $2 ORDER BY x.key LIMIT $3) ORDER BY f.key, p.key`

	sqlFeature = selectFeatures + ` AND f.id = $2 ORDER BY p.key`

	sqlKnownPermissions = `SELECT key FROM permissions WHERE environment_id = $1 AND key IN (SELECT key FROM json_each($2))`

	sqlUnlink = `DELETE FROM feature_permissions WHERE environment_id = $1 AND feature_id = $2`

	sqlLink = `INSERT INTO feature_permissions (environment_id, feature_id, permission_id)
SELECT p.environment_id, $2, p.id FROM permissions p WHERE p.environment_id = $1 AND p.key IN (SELECT key FROM json_each($3))`

	selectFlags = `SELECT f.id, f.key, g.enabled, g.off_treatment, g.default_treatment, g.rules, g.version, g.created_at, g.updated_at
FROM feature_flags g JOIN features f ON f.environment_id = g.environment_id AND f.id = g.feature_id
WHERE g.environment_id = $1`

	sqlFlags = selectFlags + ` AND f.key > $2 ORDER BY f.key LIMIT $3`

	sqlFlag = selectFlags + ` AND g.feature_id = $2`

	sqlPutFlag = `INSERT INTO feature_flags (environment_id, feature_id, enabled, off_treatment, default_treatment, rules, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (environment_id, feature_id) DO UPDATE SET enabled = excluded.enabled, off_treatment = excluded.off_treatment,
default_treatment = excluded.default_treatment, rules = excluded.rules, version = feature_flags.version + 1, updated_at = excluded.updated_at`

	sqlDeleteFlag = `DELETE FROM feature_flags WHERE environment_id = $1 AND feature_id = $2`

	sqlCountPlans = `SELECT COUNT(*) FROM plans WHERE environment_id = $1`

	sqlInsertPlan = `INSERT INTO plans (environment_id, id, name, description, default_treatment, rules, assign_on_signup, time_limit_days, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`

	sqlUpdatePlan = `UPDATE plans SET name = $3, description = $4, default_treatment = $5, rules = $6, assign_on_signup = $7, time_limit_days = $8,
updated_at = $9, version = version + 1 WHERE environment_id = $1 AND id = $2`

	sqlDeletePlan = `DELETE FROM plans WHERE environment_id = $1 AND id = $2`

	sqlLockPlan = `SELECT id FROM plans WHERE environment_id = $1 AND id = $2`

	selectPlans = `SELECT p.id, p.name, p.description, p.default_treatment, p.rules, p.assign_on_signup, p.time_limit_days, p.version, p.created_at, p.updated_at, COALESCE(f.key, '')
FROM plans p
LEFT JOIN plan_features pf ON pf.environment_id = p.environment_id AND pf.plan_id = p.id
LEFT JOIN features f ON f.environment_id = pf.environment_id AND f.id = pf.feature_id
WHERE p.environment_id = $1`

	sqlPlans = selectPlans + ` AND p.id IN (SELECT x.id FROM plans x WHERE x.environment_id = $1 AND x.id > $2 ORDER BY x.id LIMIT $3) ORDER BY p.id, f.key`

	sqlPlan = selectPlans + ` AND p.id = $2 ORDER BY f.key`

	sqlKnownFeatures = `SELECT key FROM features WHERE environment_id = $1 AND key IN (SELECT key FROM json_each($2))`

	sqlUnbundle = `DELETE FROM plan_features WHERE environment_id = $1 AND plan_id = $2`

	sqlBundle = `INSERT INTO plan_features (environment_id, plan_id, feature_id)
SELECT f.environment_id, $2, f.id FROM features f WHERE f.environment_id = $1 AND f.key IN (SELECT key FROM json_each($3))`

	sqlSignupPlans = `SELECT id, name, time_limit_days FROM plans WHERE environment_id = $1 AND assign_on_signup ORDER BY id`

	sqlGrant = `INSERT INTO entitlements (tenant_id, id, environment_id, plan_id, membership_id, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`

	selectEntitlements = `SELECT e.id, e.tenant_id, e.plan_id, p.name, COALESCE(m.user_id, ''), e.expires_at, e.version, e.created_at, e.updated_at
FROM entitlements e
JOIN plans p ON p.environment_id = e.environment_id AND p.id = e.plan_id
LEFT JOIN memberships m ON m.tenant_id = e.tenant_id AND m.id = e.membership_id
WHERE e.tenant_id = $1`

	sqlEntitlements = selectEntitlements + ` AND e.id > $2 AND ($4 = '' OR m.user_id = $4) AND ($5 = '' OR e.plan_id = $5) ORDER BY e.id LIMIT $3`

	sqlEntitlement = selectEntitlements + ` AND e.id = $2`

	sqlLockEntitlement = `SELECT id FROM entitlements WHERE tenant_id = $1 AND id = $2`

	sqlSetExpiry = `UPDATE entitlements SET expires_at = $3, updated_at = $4, version = version + 1 WHERE tenant_id = $1 AND id = $2`

	sqlRevoke = `DELETE FROM entitlements WHERE tenant_id = $1 AND id = $2`
)

// What Load reads, of the features that are asked about: those of the keys in $2
// and those that are linked to a permission in $3.
const (
	wanted = ` f.environment_id = $1 AND (f.key IN (SELECT key FROM json_each($2)) OR f.id IN (
SELECT l.feature_id FROM feature_permissions l JOIN permissions x ON x.environment_id = l.environment_id AND x.id = l.permission_id
WHERE l.environment_id = $1 AND x.key IN (SELECT key FROM json_each($3))))`

	sqlLoadFeatures = `SELECT f.id, f.key, g.enabled, COALESCE(g.off_treatment, FALSE), COALESCE(g.default_treatment, FALSE), COALESCE(g.rules, '[]')
FROM features f LEFT JOIN feature_flags g ON g.environment_id = f.environment_id AND g.feature_id = f.id WHERE` + wanted

	sqlLoadLinks = `SELECT fp.feature_id, p.key FROM feature_permissions fp
JOIN features f ON f.environment_id = fp.environment_id AND f.id = fp.feature_id
JOIN permissions p ON p.environment_id = fp.environment_id AND p.id = fp.permission_id WHERE` + wanted

	sqlLoadBundles = `SELECT pf.feature_id, pf.plan_id FROM plan_features pf
JOIN features f ON f.environment_id = pf.environment_id AND f.id = pf.feature_id WHERE` + wanted

	sqlLoadPlans = `SELECT p.id, p.default_treatment, p.rules FROM plans p WHERE p.environment_id = $1 AND p.id IN (
SELECT pf.plan_id FROM plan_features pf JOIN features f ON f.environment_id = pf.environment_id AND f.id = pf.feature_id WHERE` + wanted + `)`

	// Each half has an index of its own: what other users have is not read.
	sqlLoadGrants = `SELECT plan_id, expires_at FROM entitlements WHERE tenant_id = $1 AND membership_id IS NULL
UNION ALL SELECT plan_id, expires_at FROM entitlements WHERE tenant_id = $1 AND membership_id = $2`

	sqlHoldsDomain = `SELECT COUNT(*) FROM domains WHERE tenant_id = $1 AND domain = $2 AND verified_at IS NOT NULL`

	sqlIsLinked = `SELECT COUNT(*) FROM feature_permissions fp
JOIN permissions p ON p.environment_id = fp.environment_id AND p.id = fp.permission_id WHERE fp.environment_id = $1 AND p.key = $2`
)

func scanFeatures(rows db.Rows, err error) ([]Feature, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Feature{}
	for rows.Next() {
		var f Feature
		var metadata, key string
		var created, updated db.Time
		if err := rows.Scan(&f.ID, &f.Key, &f.Name, &f.Description, &metadata, &f.Version, &created, &updated, &key); err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].ID != f.ID {
			if err := json.Unmarshal([]byte(metadata), &f.Metadata); err != nil {
				return nil, err
			}
			f.Permissions, f.CreatedAt, f.UpdatedAt = []string{}, created.Time, updated.Time
			list = append(list, f)
		}
		if last := &list[len(list)-1]; key != "" {
			last.Permissions = append(last.Permissions, key)
		}
	}
	return list, rows.Err()
}

func scanFlags(rows db.Rows, err error) ([]Flag, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Flag{}
	for rows.Next() {
		var g Flag
		var rules string
		var created, updated db.Time
		if err := rows.Scan(&g.FeatureID, &g.FeatureKey, &g.On, &g.Off, &g.Default, &rules, &g.Version, &created, &updated); err != nil {
			return nil, err
		}
		g.CreatedAt, g.UpdatedAt = created.Time, updated.Time
		if g.Rules, err = ParseRules([]byte(rules)); err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, rows.Err()
}

func scanPlans(rows db.Rows, err error) ([]Plan, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Plan{}
	for rows.Next() {
		var p Plan
		var rules, key string
		var created, updated db.Time
		if err := rows.Scan(&p.ID, &p.Name, &p.Description, &p.Default, &rules, &p.AssignOnSignup, &p.TimeLimitDays, &p.Version, &created, &updated, &key); err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].ID != p.ID {
			if p.Rules, err = ParseRules([]byte(rules)); err != nil {
				return nil, err
			}
			p.Features, p.CreatedAt, p.UpdatedAt = []string{}, created.Time, updated.Time
			list = append(list, p)
		}
		if last := &list[len(list)-1]; key != "" {
			last.Features = append(last.Features, key)
		}
	}
	return list, rows.Err()
}

func scanEntitlements(rows db.Rows, err error) ([]Entitlement, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Entitlement{}
	for rows.Next() {
		var e Entitlement
		var expires, created, updated db.Time
		if err := rows.Scan(&e.ID, &e.Tenant, &e.PlanID, &e.PlanName, &e.UserID, &expires, &e.Version, &created, &updated); err != nil {
			return nil, err
		}
		e.ExpiresAt, e.CreatedAt, e.UpdatedAt = expires.Time, created.Time, updated.Time
		list = append(list, e)
	}
	return list, rows.Err()
}

func scanKeys(rows db.Rows, err error) (map[string]bool, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := map[string]bool{}
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			return nil, err
		}
		keys[k] = true
	}
	return keys, rows.Err()
}
