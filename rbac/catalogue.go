package rbac

import "strings"

// builtin is a permission of the catalogue.
type builtin struct {
	Key, Category string
	Listed        bool
	Wildcard      bool
}

// catalogue is the complete set of built-in permissions (product 3). Each line is
// a category, an area, a noun, and the verbs that the catalogue lists; the other
// verbs exist by the verb rule, unlisted, so that grants of them do not fail
// (product 79, trap C10).
var catalogue = makeCatalogue(`
Account details  | fe.secure            | accountSettings           | read write
Users            | fe.secure            | users                     | read write delete
Users            | fe.secure            | updateUser                | write
Users            | fe.secure            | usersRoles                | write delete
Users            | fe.secure            | sessions                  | delete
Users            | fe.secure            | resendActivationEmail     | write
Users            | fe.secure            | enableDisable             | write
Users            | fe.secure            | tenantInvites             | write
Users            | fe.account-settings  | app                       | read
Users            | fe.secure            | appsUsers                 | write delete
Groups           | fe.secure            | groups                    | read write delete
Groups           | fe.secure            | groupsUsers               | write delete
Groups           | fe.secure            | groupsRoles               | write delete
Roles            | fe.secure            | roles                     | read write delete
Security         | fe.secure            | securityPolicy            | read
Security         | fe.secure            | emailDomainRestrictions   | read write delete
Security         | fe.secure            | ipRestrictions            | read write delete
SSO              | fe.secure            | samlConfiguration         | read write delete
SSO              | fe.secure            | samlDefaultRoles          | read write
Provisioning     | fe.secure            | provisioningConfiguration | read write delete
Audit logs       | fe.secure            | audits                    | read
API tokens       | fe.secure            | tenantApiTokens           | read write
Personal tokens  | fe.secure            | userApiTokens             | read write delete
Webhooks         | fe.connectivity      | webhooks                  | read
Webhooks         | fe.connectivity      | webhook                   | write delete
Webhooks         | fe.connectivity      | eventCategories           | read
All accounts     | fe.account-hierarchy | subAccount                | read write delete
All accounts     | fe.account-hierarchy | subAccountAccess          | write
`)

// presetPermissions are what the roles of a new environment hold (product 3).
var (
	adminPermissions    = []string{"fe.secure.*", "fe.connectivity.*", "fe.account-settings.*", "fe.account-hierarchy.*"}
	readOnlyPermissions = []string{"fe.secure.read.*", "fe.connectivity.read.*", "fe.account-settings.read.*"}
)

const globalCategory = "Global"

var verbs = []string{"read", "write", "delete"}

func makeCatalogue(table string) []builtin {
	var list []builtin
	seenArea := map[string]bool{}
	var areas []string
	for line := range strings.Lines(strings.TrimSpace(table)) {
		f := strings.Split(line, "|")
		category, area, noun := strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), strings.TrimSpace(f[2])
		listed := " " + strings.TrimSpace(f[3]) + " "
		for _, verb := range verbs {
			list = append(list, builtin{Key: area + "." + verb + "." + noun, Category: category, Listed: strings.Contains(listed, " "+verb+" ")})
		}
		if !seenArea[area] {
			seenArea[area] = true
			areas = append(areas, area)
		}
	}
	for _, area := range areas {
		list = append(list, builtin{Key: area + ".*", Category: globalCategory, Listed: true, Wildcard: true})
		for _, verb := range verbs {
			list = append(list, builtin{Key: area + "." + verb + ".*", Category: globalCategory, Listed: verb == "read", Wildcard: true})
		}
	}
	return list
}

// Name of a built-in permission, made of its key: "Read users".
func (b builtin) name() string {
	parts := strings.Split(b.Key, ".")
	if b.Wildcard {
		if len(parts) == 3 {
			return "Everything of " + parts[1]
		}
		return strings.ToUpper(parts[2][:1]) + parts[2][1:] + " everything of " + parts[1]
	}
	var noun strings.Builder
	for _, r := range parts[3] {
		if r >= 'A' && r <= 'Z' {
			noun.WriteByte(' ')
			r += 'a' - 'A'
		}
		noun.WriteRune(r)
	}
	return strings.ToUpper(parts[2][:1]) + parts[2][1:] + " " + noun.String()
}
