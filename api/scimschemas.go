package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SCIMCharacteristics is what a SCIM attribute is defined by (RFC 7643 §7).
type SCIMCharacteristics struct {
	Name            string   `json:"name" maxLength:"64"`
	Type            string   `json:"type,omitempty" enum:"string,boolean,decimal,integer,dateTime,binary,reference,complex" doc:"string when left out"`
	Description     string   `json:"description,omitempty" maxLength:"1000"`
	MultiValued     bool     `json:"multi_valued,omitempty"`
	Required        bool     `json:"required,omitempty" doc:"In resources that use the schema at all"`
	CaseExact       bool     `json:"case_exact,omitempty"`
	Mutability      string   `json:"mutability,omitempty" enum:"readWrite,readOnly,immutable,writeOnly" doc:"readWrite when left out"`
	Returned        string   `json:"returned,omitempty" enum:"default,always,never,request" doc:"default when left out"`
	CanonicalValues []string `json:"canonical_values,omitempty" maxItems:"100"`
	ReferenceTypes  []string `json:"reference_types,omitempty" maxItems:"100"`
}

// SCIMAttributeBody is an attribute of an extension schema.
type SCIMAttributeBody struct {
	SCIMCharacteristics
	SubAttributes []SCIMCharacteristics `json:"sub_attributes,omitempty" maxItems:"100" doc:"Of a complex attribute"`
}

// SCIMSchemaInput defines an extension schema.
type SCIMSchemaInput struct {
	Name         string              `json:"name" maxLength:"100"`
	Description  string              `json:"description,omitempty" maxLength:"1000"`
	ResourceType string              `json:"resource_type,omitempty" enum:"User,Group" doc:"What it extends; User when left out"`
	Attributes   []SCIMAttributeBody `json:"attributes" minItems:"1" maxItems:"100"`
}

// SCIMSchemaBody is an extension schema as shown.
type SCIMSchemaBody struct {
	URN string `json:"urn"`
	SCIMSchemaInput
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// SchemaPath names an extension schema.
type SchemaPath struct {
	TenantPath
	URN string `path:"urn" maxLength:"200" doc:"URN of the schema, such as urn:example:scim:2.0:User"`
}

type putSCIMSchema struct {
	SchemaPath
	Body SCIMSchemaInput
}

func (c SCIMCharacteristics) attribute() tenants.SCIMAttribute {
	return tenants.SCIMAttribute{
		Name: c.Name, Type: c.Type, Description: c.Description, MultiValued: c.MultiValued, Required: c.Required, CaseExact: c.CaseExact,
		Mutability: c.Mutability, Returned: c.Returned, CanonicalValues: c.CanonicalValues, ReferenceTypes: c.ReferenceTypes,
	}
}

func showCharacteristics(a tenants.SCIMAttribute) SCIMCharacteristics {
	return SCIMCharacteristics{
		Name: a.Name, Type: a.Type, Description: a.Description, MultiValued: a.MultiValued, Required: a.Required, CaseExact: a.CaseExact,
		Mutability: a.Mutability, Returned: a.Returned, CanonicalValues: a.CanonicalValues, ReferenceTypes: a.ReferenceTypes,
	}
}

func (b SCIMSchemaBody) etag() string { return versionTag(b.Version) }

func showSCIMSchema(x tenants.SCIMSchema) SCIMSchemaBody {
	out := SCIMSchemaBody{URN: x.URN, Version: x.Version, CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt}
	out.Name, out.Description, out.ResourceType = x.Name, x.Description, x.ResourceType
	for _, a := range x.Attributes {
		shown := SCIMAttributeBody{SCIMCharacteristics: showCharacteristics(a)}
		for _, s := range a.SubAttributes {
			shown.SubAttributes = append(shown.SubAttributes, showCharacteristics(s))
		}
		out.Attributes = append(out.Attributes, shown)
	}
	return out
}

func (in putSCIMSchema) schema() tenants.SCIMSchema {
	x := tenants.SCIMSchema{URN: in.URN, Name: in.Body.Name, Description: in.Body.Description, ResourceType: in.Body.ResourceType}
	if x.ResourceType == "" {
		x.ResourceType = "User"
	}
	for _, a := range in.Body.Attributes {
		attribute := a.attribute()
		for _, s := range a.SubAttributes {
			attribute.SubAttributes = append(attribute.SubAttributes, s.attribute())
		}
		x.Attributes = append(x.Attributes, attribute)
	}
	return x
}

func (h *Handler) registerSCIMSchemas() {
	const (
		base      = "/tenants/{t}/scim-schemas"
		one       = base + "/{urn}"
		canRead   = "fe.secure.read.provisioningConfiguration"
		canWrite  = "fe.secure.write.provisioningConfiguration"
		canDelete = "fe.secure.delete.provisioningConfiguration"
	)
	read(h, route{method: http.MethodGet, path: base, id: "listSCIMSchemas", summary: "List a tenant's own SCIM extension schemas", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[SCIMSchemaBody], error) {
			found, err := h.Tenants.SCIMSchemas(ctx, q, s.tenant.ID)
			return whole(found, showSCIMSchema), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSCIMSchema", summary: "Show an extension schema", permission: canRead},
		func(ctx context.Context, s scope, q db.Queryer, in *SchemaPath) (SCIMSchemaBody, error) {
			x, err := h.Tenants.SCIMSchema(ctx, q, s.tenant.ID, in.URN)
			return showSCIMSchema(x), err
		})
	write(h, route{method: http.MethodPut, path: one, id: "putSCIMSchema", summary: "Define an extension schema, or define it anew", permission: canWrite, maxBody: tenants.MaxSCIMSchemaSize},
		func(ctx context.Context, s scope, q db.Queryer, in *putSCIMSchema) (SCIMSchemaBody, error) {
			x, err := h.Tenants.PutSCIMSchema(ctx, s.actor, q, s.tenant.ID, in.schema(), scim.CheckSchema)
			if err != nil {
				return SCIMSchemaBody{}, err
			}
			before := x.Version - 1
			if before == 0 {
				before = absent
			}
			return showSCIMSchema(x), s.match(before)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteSCIMSchema", summary: "Remove an extension schema; values that were provisioned stay stored, out of sight", permission: canDelete},
		func(ctx context.Context, s scope, q db.Queryer, in *SchemaPath) error {
			if err := h.Tenants.HoldSCIMSchemas(ctx, q, s.environment.ID, s.tenant.ID); err != nil {
				return err
			}
			x, err := h.Tenants.SCIMSchema(ctx, q, s.tenant.ID, in.URN)
			if err != nil {
				return err
			}
			if err := s.match(x.Version); err != nil {
				return err
			}
			return h.Tenants.DeleteSCIMSchema(ctx, s.actor, q, s.tenant.ID, in.URN)
		})
}
