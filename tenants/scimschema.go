package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Limits of the extension schemas of a tenant.
const (
	MaxSCIMSchemas          = 20
	MaxSCIMSchemaAttributes = 100      // of one schema, sub-attributes counted
	MaxSCIMSchemaSize       = 64 << 10 // bytes of one definition
)

// SCIMSchema is an extension of SCIM users or groups that a tenant defines for
// all of its connections. Its JSON form is that of RFC 7643 §7 with the resource
// type beside it.
type SCIMSchema struct {
	URN          string          `json:"id"`
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	ResourceType string          `json:"resourceType"` // User or Group
	Attributes   []SCIMAttribute `json:"attributes"`

	Version   int64     `json:"-"`
	CreatedAt time.Time `json:"-"`
	UpdatedAt time.Time `json:"-"`
}

// SCIMAttribute is one attribute of a SCIMSchema. Empty characteristics mean the
// defaults of RFC 7643 §2.2.
type SCIMAttribute struct {
	Name            string          `json:"name"`
	Type            string          `json:"type,omitempty"`
	Description     string          `json:"description,omitempty"`
	MultiValued     bool            `json:"multiValued,omitempty"`
	Required        bool            `json:"required,omitempty"`
	CaseExact       bool            `json:"caseExact,omitempty"`
	Mutability      string          `json:"mutability,omitempty"`
	Returned        string          `json:"returned,omitempty"`
	CanonicalValues []string        `json:"canonicalValues,omitempty"`
	ReferenceTypes  []string        `json:"referenceTypes,omitempty"`
	SubAttributes   []SCIMAttribute `json:"subAttributes,omitempty"`
}

// Definition is the JSON form of the schema.
func (s SCIMSchema) Definition() ([]byte, error) { return json.Marshal(s) }

// SCIMSchemas lists the extension schemas of a tenant in the order of their
// creation.
func (s *Service) SCIMSchemas(ctx context.Context, q db.Queryer, tenant string) ([]SCIMSchema, error) {
	rows, err := q.Query(ctx, sqlSCIMSchemas, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SCIMSchema
	for rows.Next() {
		x, err := scanSCIMSchema(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, rows.Err()
}

// SCIMSchema finds an extension schema by its URN in any case.
func (s *Service) SCIMSchema(ctx context.Context, q db.Queryer, tenant, urn string) (SCIMSchema, error) {
	return scanSCIMSchema(q.QueryRow(ctx, sqlSCIMSchema, tenant, strings.ToLower(urn)))
}

// PutSCIMSchema makes an extension schema, or replaces the one with its URN.
// check is the judgement of the protocol about the definition (scim.CheckSchema).
// Values of attributes that the new definition does not have stay stored, out of
// sight, until a definition has them again.
func (s *Service) PutSCIMSchema(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, in SCIMSchema, check func(SCIMSchema) error) (SCIMSchema, error) {
	n := 0
	for _, x := range in.Attributes {
		n += 1 + len(x.SubAttributes)
	}
	if n > MaxSCIMSchemaAttributes {
		return SCIMSchema{}, tooMany("100 attributes of a schema")
	}
	if err := check(in); err != nil {
		return SCIMSchema{}, err
	}
	definition, err := in.Definition()
	if err != nil {
		return SCIMSchema{}, err
	}
	if len(definition) > MaxSCIMSchemaSize {
		return SCIMSchema{}, tooMany("64 KiB for a schema")
	}
	if _, err := q.Exec(ctx, sqlBumpSCIMSchemas, a.Environment, tenant); err != nil {
		return SCIMSchema{}, err
	}
	all, err := s.SCIMSchemas(ctx, q, tenant)
	if err != nil {
		return SCIMSchema{}, err
	}
	now, before := s.clock.Now(), SCIMSchema{}
	for _, x := range all {
		if strings.EqualFold(x.URN, in.URN) {
			before = x
		}
	}
	if before.URN == "" && len(all) >= MaxSCIMSchemas {
		return SCIMSchema{}, tooMany("20 extension schemas of a tenant")
	}
	if _, err := q.Exec(ctx, sqlPutSCIMSchema, tenant, strings.ToLower(in.URN), string(definition), db.At(now)); err != nil {
		return SCIMSchema{}, err
	}
	in.Version, in.CreatedAt, in.UpdatedAt = before.Version+1, now, now
	if before.URN != "" {
		in.CreatedAt = before.CreatedAt
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, in.Name)
	changed(changes, "resource_type", before.ResourceType, in.ResourceType)
	changed(changes, "attributes", attributeNames(before), attributeNames(in))
	return in, s.record(ctx, a, q, tenant, "scim_schema.updated", schemaTarget(in), changes)
}

// HoldSCIMSchemas makes other changes of a tenant's schemas wait until the end of
// the transaction.
func (s *Service) HoldSCIMSchemas(ctx context.Context, q db.Queryer, environment, tenant string) error {
	_, err := q.Exec(ctx, sqlBumpSCIMSchemas, environment, tenant)
	return err
}

// DeleteSCIMSchema removes an extension schema. Stored values stay, out of sight,
// until a schema has its URN again.
func (s *Service) DeleteSCIMSchema(ctx context.Context, a actor.Actor, q db.Queryer, tenant, urn string) error {
	if _, err := q.Exec(ctx, sqlBumpSCIMSchemas, a.Environment, tenant); err != nil {
		return err
	}
	x, err := s.SCIMSchema(ctx, q, tenant, urn)
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteSCIMSchema, tenant, strings.ToLower(urn)); err != nil {
		return err
	}
	return s.record(ctx, a, q, tenant, "scim_schema.deleted", schemaTarget(x), nil)
}

func schemaTarget(x SCIMSchema) audit.Target {
	return audit.Target{Type: "scim_schema", ID: x.URN, Name: x.Name}
}

func attributeNames(x SCIMSchema) string {
	names := make([]string, len(x.Attributes))
	for i, a := range x.Attributes {
		names[i] = a.Name
	}
	return strings.Join(names, " ")
}

func scanSCIMSchema(r db.Row) (SCIMSchema, error) {
	var x SCIMSchema
	var definition string
	var created, updated db.Time
	err := r.Scan(&definition, &x.Version, &created, &updated)
	if errors.Is(err, db.ErrNotFound) {
		return SCIMSchema{}, ErrSchemaNotFound
	}
	if err != nil {
		return SCIMSchema{}, err
	}
	if err := json.Unmarshal([]byte(definition), &x); err != nil {
		return SCIMSchema{}, fmt.Errorf("tenants: scim schema: %w", err)
	}
	x.CreatedAt, x.UpdatedAt = created.Time, updated.Time
	return x, nil
}
