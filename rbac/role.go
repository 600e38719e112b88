package rbac

import (
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// MaxLevel is the weakest level of a role; 0 is the strongest (product 2.5).
const MaxLevel = 32767

// Keys of the roles that every environment begins with (product 101).
const (
	AdminKey    = "admin"
	ReadOnlyKey = "read-only"
)

// Role is a set of permissions with a level.
type Role struct {
	ID          string
	Environment string
	Owner       string // the tenant of a custom role; empty for system roles
	Key         string // what tokens carry
	Name        string
	Description string
	Level       int
	Default     bool // added to users who are given no roles
	FirstUser   bool // added to the first user of a tenant
	BaseRoleID  string
	Permissions []string // keys, sorted
	// Effective is what the role gives: in a custom role without the permissions
	// classified never and with those classified always (product 113, 120).
	Effective []string // keys, sorted
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Custom reports whether the role belongs to one tenant: permissions classified
// never do not count in it, and those classified always do (product 113).
func (r Role) Custom() bool { return r.Owner != "" }

// NewRole is what CreateRole takes.
type NewRole struct {
	Key         string // of a custom role: empty makes it of the name
	Name        string
	Description string
	// Level is ignored with BaseRoleID, whose level the role gets (product 62), and
	// from level-bound actors, whose roles are the weakest without a base.
	Level      int
	BaseRoleID string
	// Permissions are keys; nil copies those of the base role, as far as the new
	// role may hold them (product 62).
	Permissions []string
	Default     bool
	FirstUser   bool
	// Migrate gives a default role to all who are there already (product 2.5).
	Migrate bool
	Tenant  string // empty: a system role, by actors above tenants only
}

// RolePatch changes what is not nil. The key never changes: tokens carry it.
type RolePatch struct {
	Name        *string
	Description *string
	Level       *int // of system roles only
	Default     *bool
	FirstUser   *bool
	Permissions *[]string // replaces (product 2.5)
	Migrate     bool      // gives a default role to all who are there already
}

// RoleFilter narrows a list of roles; the zero value takes all.
type RoleFilter struct {
	Level *int
	Query string // part of the key or the name, ignoring case
}

// Classifications of a permission for custom roles (product 113).
const (
	Never      = "never"
	Assignable = "assignable"
	Always     = "always"
)

// Permission is the ability to do something.
type Permission struct {
	ID             string
	Key            string
	Name           string
	Description    string
	CategoryID     string
	Category       string
	Builtin        bool
	Listed         bool // false: exists by the verb rule alone (product 79)
	Classification string
	Version        int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Makers of permissions, as lists are filtered by them (product 85).
const (
	ByVendor  = "vendor"
	ByBuiltin = "builtin"
)

// PermissionFilter narrows a list of permissions; the zero value takes all.
type PermissionFilter struct {
	Query          string // part of the key, the name or the category, ignoring case (product 80)
	Category       string // id or name
	Creator        string // ByVendor or ByBuiltin
	Classification string
}

// Category is a folder of permissions (product 83, 90).
type Category struct {
	ID          string
	Name        string
	Description string
	Builtin     bool // holds built-in permissions: cannot be changed or deleted
	Permissions int  // how many
	Version     int64
	CreatedAt   time.Time
}

// CategoryPatch changes what is not nil.
type CategoryPatch struct{ Name, Description *string }

// NewPermission is what CreatePermission takes.
type NewPermission struct {
	Key            string
	Name           string
	Description    string
	Category       string // name; made when it does not exist
	Classification string // empty: assignable, or never with a wildcard
}

// PermissionPatch changes what is not nil.
type PermissionPatch struct {
	Name        *string
	Description *string
	Category    *string
}

// Mapping gives roles to the members of groups of a name (exactly), from one
// connection or, with an empty ConnectionID, from any.
type Mapping struct {
	Group        string
	ConnectionID string
	RoleIDs      []string
}

// Grant is a role that somebody has, and why.
type Grant struct {
	ID      string
	Key     string
	Level   int
	Sources []string // "direct", "group:engineering", "connection:Okta"; sorted
}

// Effective is what somebody may do now.
type Effective struct {
	Roles       []Grant  // by level, then key
	Permissions []string // verbatim, wildcards included, sorted (product 135)
	Level       int      // of the strongest role; actor.NoLevel without roles (product 123)
}

// Keys gives the role keys, as tokens carry them.
func (e Effective) Keys() []string {
	keys := make([]string, 0, len(e.Roles))
	for _, r := range e.Roles {
		keys = append(keys, r.Key)
	}
	return keys
}

// Limits on what one environment or tenant may define.
const (
	maxText        = 200
	maxDescription = 2000
	maxRoles       = 1000 // per owner
	maxPermissions = 5000 // per environment
	maxCategories  = 500
	maxPerRole     = 2000
	maxMappings    = 2000
	maxMapped      = 10000 // pairs of group and role
	maxGroupName   = 1024
	maxGranted     = 100 // roles in one request
)

// Errors of objects that are absent or another tenant's.
var (
	ErrRoleNotFound       = fault.New(fault.NotFound, "role_not_found", "There is no such role.")
	ErrPermissionNotFound = fault.New(fault.NotFound, "permission_not_found", "There is no such permission.")
	ErrGroupNotFound      = fault.New(fault.NotFound, "group_not_found", "There is no such group.")
	ErrConnectionNotFound = fault.New(fault.NotFound, "connection_not_found", "There is no such connection.")
	ErrLevel              = fault.New(fault.Forbidden, "role_level_too_strong", "The role is stronger than your own.")
	ErrTargetLevel        = fault.New(fault.Forbidden, "target_level_too_strong", "The user has a stronger role than you.")
	// ErrImpersonated: what an impersonator gives would outlast him (identity rule 12).
	ErrImpersonated     = fault.New(fault.Forbidden, "impersonated", "Whoever acts as somebody else gives no roles.")
	ErrLastDefault      = fault.New(fault.Conflict, "last_default_role", "At least one role must be a default role.")
	ErrBuiltin          = fault.New(fault.Forbidden, "builtin_permission", "Built-in permissions cannot be changed or deleted.")
	ErrCategoryNotFound = fault.New(fault.NotFound, "category_not_found", "There is no such category.")
	errCategoryBuiltin  = fault.New(fault.Forbidden, "builtin_category", "A category of built-in permissions cannot be changed or deleted.")
	errCategoryInUse    = fault.New(fault.Conflict, "category_not_empty", "The category holds permissions. Move or delete them first.")
	errSelfService      = fault.New(fault.Forbidden, "roles_not_enabled", "Roles of your own are not switched on here.")
	errNotHeld          = fault.New(fault.Forbidden, "permission_not_held", "You cannot give a permission that you do not hold.")
	errNeedsPermission  = fault.New(fault.Forbidden, "permission_required", "You may not do this.")
	errEnvironmentOnly  = fault.New(fault.Forbidden, "environment_only", "Only the vendor may change this.")
	errUnknownRole      = fault.New(fault.Invalid, "unknown_role", "A role does not exist here.").In("role_ids")
)

func invalid(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

// exempt reports whether the level rule does not bind the actor (product 121).
func exempt(a actor.Actor) bool {
	return a.Tenant == "" && (a.Kind == actor.Management || a.Kind == actor.Staff || a.Kind == actor.System)
}

func checkText(s, field string, required bool, limit int) (string, error) {
	s = strings.TrimSpace(s)
	if required && s == "" || len(s) > limit || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\n' || r == 0x7f }) {
		return "", invalid("invalid_text", "Give a text without control characters, up to 200 bytes (2000 for a description).", field)
	}
	return s, nil
}

func checkRoleKey(key string) error {
	ok := key != "" && len(key) <= maxText
	for i := range len(key) {
		c := key[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte("._:-", c) >= 0)
	}
	if !ok {
		return invalid("invalid_key", "A key has up to 200 letters, digits and . _ : - and begins with a letter or digit.", "key")
	}
	return nil
}

func checkLevel(level int) error {
	if level < 0 || level > MaxLevel {
		return invalid("invalid_level", "A level is 0 to 32767; 0 is the strongest.", "level")
	}
	return nil
}

// checkPermissionKey holds a custom key to dotted words outside the built-in
// areas. A wildcard may stand only behind a first word of its own, so that it
// never covers a built-in key.
func checkPermissionKey(key string) error {
	if strings.HasPrefix(key, "fe.") || strings.HasPrefix(key, "bo.") {
		return invalid("reserved_prefix", "Keys that begin with fe. or bo. are built in.", "key")
	}
	ok := key != "" && len(key) <= permission.MaxKey && !strings.HasPrefix(key, ".") && !strings.HasSuffix(key, ".") && !strings.Contains(key, "..")
	for i := range len(key) {
		c := key[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:-*", c) >= 0)
	}
	if first, _, _ := strings.Cut(key, "*"); ok && strings.Contains(key, "*") && !strings.Contains(first, ".") {
		ok = false
	}
	if !ok {
		return invalid("invalid_key", "A key is dotted words of letters, digits and _ : -, such as invoices.read; a * may follow the first word.", "key")
	}
	return nil
}

func checkClassification(c string) error {
	switch c {
	case Never, Assignable, Always:
		return nil
	}
	return invalid("invalid_classification", "Choose never, assignable or always.", "classification")
}
