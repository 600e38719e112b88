package audit

import "strings"

// OCSF 1.3.0, category 3, Identity & Access Management (schema.ocsf.io): the
// classes and activities that a built-in event becomes. An event of a noun that
// is not a person, a group or a sign-in is the management of an entity.
const (
	ocsfVersion       = "1.3.0"
	classAccount      = 3001
	classAuthenticate = 3002
	classAuthorize    = 3003
	classEntity       = 3004
	classUserAccess   = 3005
	classGroup        = 3006

	activityOther = 99
)

var ocsfClasses = map[int]string{
	classAccount: "Account Change", classAuthenticate: "Authentication", classAuthorize: "Authorize Session",
	classEntity: "Entity Management", classUserAccess: "User Access Management", classGroup: "Group Management",
}

var ocsfActivities = map[int]map[int]string{
	classAccount: {
		1: "Create", 2: "Enable", 3: "Password Change", 4: "Password Reset", 5: "Disable", 6: "Delete", 7: "Attach Policy", 8: "Detach Policy",
		9: "Lock", 10: "MFA Factor Enable", 11: "MFA Factor Disable",
	},
	classAuthenticate: {1: "Logon", 2: "Logoff"},
	classAuthorize:    {1: "Assign Privileges", 2: "Assign Groups"},
	classEntity: {
		1: "Create", 2: "Read", 3: "Update", 4: "Delete", 5: "Move", 6: "Enroll", 7: "Unenroll", 8: "Enable", 9: "Disable", 10: "Activate",
		11: "Deactivate", 12: "Suspend", 13: "Resume",
	},
	classUserAccess: {1: "Assign Privileges", 2: "Revoke Privileges"},
	classGroup:      {1: "Assign Privileges", 2: "Revoke Privileges", 3: "Add User", 4: "Remove User", 5: "Delete", 6: "Create"},
}

// ocsfNouns gives the class of a noun; the others are entities.
var ocsfNouns = map[string]int{
	"user": classAccount, "membership": classAccount, "identity": classAccount, "password": classAccount, "mfa": classAccount, "profile": classAccount,
	"email": classAccount, "invitation": classEntity, "break_glass": classAccount,
	"login": classAuthenticate, "logout": classAuthenticate, "session": classAuthenticate, "code": classAuthenticate, "token": classAuthenticate,
	"impersonation": classAuthorize, "authorization": classAuthorize,
	"group": classGroup,
}

// ocsfVerbs gives the activity of a verb in each class; the others are Other.
var ocsfVerbs = map[int]map[string]int{
	classAccount: {
		"created": 1, "signed_up": 1, "linked": 1, "reprovisioned": 1, "revived": 1, "activated": 2, "approved": 2, "enabled": 2,
		"disabled": 5, "deprovisioned": 5, "expired": 5, "deleted": 6, "removed": 6, "unlinked": 6, "locked": 9,
	},
	classAuthenticate: {"succeeded": 1, "failed": 1, "denied": 1, "created": 1, "satisfied": 1, "ended": 2, "replaced": 2, "revoked": 2},
	classEntity: {
		"created": 1, "uploaded": 1, "viewed": 2, "read": 2, "exported": 2, "updated": 3, "changed": 3, "rotated": 3, "secret_rotated": 3, "moved": 5,
		"deleted": 4, "removed": 4, "revoked": 4, "purged": 4, "trusted": 6, "enabled": 8, "disabled": 9, "activated": 10, "deactivated": 11,
		"suspended": 12, "resumed": 13,
	},
	classGroup: {"roles_updated": 1, "member_added": 3, "members_added": 3, "member_removed": 4, "deleted": 5, "created": 6},
}

// ocsfActions are the actions that their words alone would not place.
var ocsfActions = map[string][2]int{
	"user.logged_out":          {classAuthenticate, 2},
	"logout.failed":            {classAuthenticate, 2},
	"session.replaced":         {classAuthenticate, 2},
	"break_glass.used":         {classAuthenticate, 1},
	"password.changed":         {classAccount, 3},
	"password.reset":           {classAccount, 4},
	"password.reset_requested": {classAccount, 4},
	"mfa.enrolled":             {classAccount, 10},
	"mfa.removed":              {classAccount, 11},
	"mfa.reset":                {classAccount, 11},
	"policy.updated":           {classEntity, 3},
	"membership.roles_updated": {classUserAccess, 1},
	"role.assigned":            {classUserAccess, 1},
	"role.unassigned":          {classUserAccess, 2},
	"plan.assigned":            {classUserAccess, 1},
	"plan.unassigned":          {classUserAccess, 2},
	"application.assigned":     {classUserAccess, 1},
	"application.unassigned":   {classUserAccess, 2},
	"impersonation.started":    {classAuthorize, 1},

	"membership.access_given": {classUserAccess, 1},
}

// ocsfOf places an action, built-in or custom.
func ocsfOf(action string) (class, activity int) {
	if at, ok := ocsfActions[action]; ok {
		return at[0], at[1]
	}
	noun, verb, _ := strings.Cut(action, ".")
	if at := strings.LastIndexByte(verb, '.'); at >= 0 { // of a custom action of several words
		verb = verb[at+1:]
	}
	class, ok := ocsfNouns[noun]
	if !ok {
		class = classEntity
	}
	activity, ok = ocsfVerbs[class][verb]
	if !ok {
		activity = activityOther
	}
	return class, activity
}

type ocsfEvent struct {
	ActivityID   int           `json:"activity_id"`
	ActivityName string        `json:"activity_name"`
	CategoryUID  int           `json:"category_uid"`
	CategoryName string        `json:"category_name"`
	ClassUID     int           `json:"class_uid"`
	ClassName    string        `json:"class_name"`
	TypeUID      int           `json:"type_uid"`
	TypeName     string        `json:"type_name"`
	Time         int64         `json:"time"` // milliseconds
	SeverityID   int           `json:"severity_id"`
	Severity     string        `json:"severity"`
	StatusID     int           `json:"status_id"`
	Status       string        `json:"status"`
	StatusDetail string        `json:"status_detail,omitempty"`
	Message      string        `json:"message"`
	Metadata     ocsfMetadata  `json:"metadata"`
	Actor        ocsfActor     `json:"actor"`
	SrcEndpoint  *ocsfEndpoint `json:"src_endpoint,omitempty"`
	HTTPRequest  *ocsfRequest  `json:"http_request,omitempty"`
	User         *ocsfUser     `json:"user,omitempty"`
	Group        *ocsfGroup    `json:"group,omitempty"`
	Entity       *ocsfEntity   `json:"entity,omitempty"`
	Privileges   []string      `json:"privileges,omitempty"`
	Session      *ocsfSession  `json:"session,omitempty"`
	Unmapped     ocsfUnmapped  `json:"unmapped"`
}

type ocsfMetadata struct {
	Version    string      `json:"version"`
	UID        string      `json:"uid"`
	EventCode  string      `json:"event_code"`
	LoggedTime int64       `json:"logged_time"` // milliseconds
	TenantUID  string      `json:"tenant_uid,omitempty"`
	Product    ocsfProduct `json:"product"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type ocsfActor struct {
	User    ocsfUser     `json:"user"`
	Session *ocsfSession `json:"session,omitempty"`
	// InvokedBy is who impersonates the user.
	InvokedBy string `json:"invoked_by,omitempty"`
}

type ocsfUser struct {
	UID    string `json:"uid,omitempty"`
	Name   string `json:"name,omitempty"`
	Email  string `json:"email_addr,omitempty"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

type (
	ocsfEndpoint struct {
		IP string `json:"ip"`
	}
	ocsfRequest struct {
		UID       string `json:"uid,omitempty"`
		UserAgent string `json:"user_agent,omitempty"`
	}
	ocsfGroup struct {
		UID  string `json:"uid,omitempty"`
		Name string `json:"name,omitempty"`
	}
	ocsfEntity struct {
		Type string `json:"type,omitempty"`
		UID  string `json:"uid,omitempty"`
		Name string `json:"name"`
	}
	ocsfSession struct {
		UID string `json:"uid"`
	}
	ocsfUnmapped struct {
		Outcome      Outcome           `json:"outcome"`
		Source       string            `json:"source"`
		Targets      []Target          `json:"targets,omitempty"`
		Changes      map[string]Change `json:"changes,omitempty"`
		Metadata     map[string]any    `json:"metadata,omitempty"`
		ConnectionID string            `json:"connection_id,omitempty"`
		Location     string            `json:"location,omitempty"`
		SentBy       *Sender           `json:"sent_by,omitempty"`
	}
)

var ocsfSeverities = map[Severity]struct {
	id   int
	name string
}{
	Info: {1, "Informational"}, Medium: {3, "Medium"}, High: {4, "High"}, Critical: {5, "Critical"}, Error: {99, "Error"},
}

// ocsfUserType tells people (1), services (the type System, 3) and others apart.
func ocsfUserType(actorType string) (int, string) {
	switch actorType {
	case "user", "vendor_user", "setup_link":
		return 1, "User"
	case "system", "scim", "api_token", "management_key":
		return 3, "System"
	case "anonymous", "":
		return 0, "Unknown"
	}
	return activityOther, actorType
}

// ocsf shows an entry as an event of OCSF.
func ocsf(e *Entry) ocsfEvent {
	class, activity := ocsfOf(e.Action)
	name, ok := ocsfActivities[class][activity]
	if !ok {
		name = "Other"
	}
	out := ocsfEvent{
		ActivityID: activity, ActivityName: name, CategoryUID: 3, CategoryName: "Identity & Access Management",
		ClassUID: class, ClassName: ocsfClasses[class], TypeUID: class*100 + activity, TypeName: ocsfClasses[class] + ": " + name,
		Time: e.OccurredAt.UnixMilli(), SeverityID: ocsfSeverities[e.Severity].id, Severity: ocsfSeverities[e.Severity].name,
		StatusID: 1, Status: "Success", Message: describe(e.Action),
		Metadata: ocsfMetadata{
			Version: ocsfVersion, UID: e.ID, EventCode: e.Action, LoggedTime: e.RecordedAt.UnixMilli(), TenantUID: e.Tenant,
			Product: ocsfProduct{Name: "Gatehouse", VendorName: "Gatehouse"},
		},
		Unmapped: ocsfUnmapped{
			Outcome: e.Outcome, Source: e.Source, Targets: e.Targets, Changes: e.Changes, Metadata: e.Metadata,
			ConnectionID: e.Context.Connection, Location: e.Context.Location, SentBy: e.SentBy,
		},
	}
	if activity == activityOther {
		out.ActivityName = describe(e.Action)
	}
	if e.Outcome != Success {
		out.StatusID, out.Status, out.StatusDetail = 2, "Failure", string(e.Outcome)
	}
	by := ocsfUser{UID: e.Actor.ID, Name: e.Actor.Name, Email: e.Actor.Email}
	by.TypeID, by.Type = ocsfUserType(e.Actor.Type)
	out.Actor.User = by
	if e.Actor.Impersonator != nil {
		out.Actor.InvokedBy = e.Actor.Impersonator.Email
	}
	if e.Context.Session != "" {
		out.Session = &ocsfSession{UID: e.Context.Session}
		out.Actor.Session = out.Session
	}
	if e.Context.IP != "" {
		out.SrcEndpoint = &ocsfEndpoint{IP: e.Context.IP}
	}
	if e.Context.UserAgent != "" || e.Context.RequestID != "" {
		out.HTTPRequest = &ocsfRequest{UID: e.Context.RequestID, UserAgent: e.Context.UserAgent}
	}
	out.subject(e, by)
	return out
}

// subject fills what the class requires: the user, the group or the entity that
// it happened to. An account that is not among the targets is the actor's own.
func (o *ocsfEvent) subject(e *Entry, by ocsfUser) {
	if o.ClassUID == classEntity {
		noun, _, _ := strings.Cut(e.Action, ".")
		o.Entity = &ocsfEntity{Type: noun, Name: noun}
		if len(e.Targets) > 0 {
			t := e.Targets[0]
			o.Entity = &ocsfEntity{Type: t.Type, UID: t.ID, Name: t.Name}
			if t.Name == "" {
				o.Entity.Name = t.ID
			}
		}
		return
	}
	if o.ClassUID != classGroup {
		o.User = &by
	}
	for _, t := range e.Targets {
		switch {
		case t.Type == "group" && o.Group == nil:
			o.Group = &ocsfGroup{UID: t.ID, Name: t.Name}
		case (t.Type == "user" || t.Type == "membership") && (o.User == nil || *o.User == by):
			o.User = &ocsfUser{UID: t.ID, Name: t.Name, TypeID: 1, Type: "User"}
		case t.Type != "user" && t.Type != "group" && o.ClassUID == classUserAccess:
			o.Privileges = append(o.Privileges, t.Type+":"+t.ID)
		}
	}
	if o.ClassUID == classGroup && o.Group == nil {
		o.Group = &ocsfGroup{Name: "unknown"}
	}
	if (o.ClassUID == classUserAccess || o.ClassUID == classAuthorize) && len(o.Privileges) == 0 {
		o.Privileges = []string{e.Action}
	}
}
