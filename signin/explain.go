package signin

// Who can mend what a code names.
const (
	WhoIdPAdmin    = "idp_admin"
	WhoTenantAdmin = "tenant_admin"
	WhoVendor      = "vendor"
	WhoPerson      = "person"
)

// Explanation says in words what a code means and what to do about it (sso 2.2).
type Explanation struct {
	Summary string `json:"summary"`
	Who     string `json:"who" enum:"idp_admin,tenant_admin,vendor,person"`
	Where   string `json:"where"` // the screen; empty when there is none
	Action  string `json:"action"`
}

// Explain gives the explanation of a code for a kind of identity provider
// (tenants.IdPKind; empty: unknown). ok is false for a code that nobody gives.
func Explain(code, idpKind string) (e Explanation, ok bool) {
	for _, table := range []map[string]explained{explanations, localExplanations, socialExplanations, logoutExplanations, metadataExplanations} {
		if x, ok := table[code]; ok {
			return Explanation{Summary: x.summary, Who: x.who, Where: x.where.in(idpKind), Action: x.action}, true
		}
	}
	return Explanation{}, false
}
