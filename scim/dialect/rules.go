package dialect

// Rule is one named departure from the RFCs.
type Rule uint8

// The rules. Their names, documentation and sources are in the table below.
const (
	CoerceBool Rule = iota
	CoerceScalar
	StringToComplex
	SingleToList
	ListToSingle
	EmptyUnsets
	UpsertOnFilter
	RemoveByValue
	RemovePathless
	DottedKeys
	LegacyURNs
	IgnoreUnknown
	IgnoreUnknownPath
	IgnoreReadOnly
	OnePrimary
	EmptyOps
	MissingSchemas
	BareWords
	UnknownIsAbsent
	KeepActive
	KeepExternalID
	GroupPatch204
	UniqueDisplayName
	ObjectToScalar
	OpCase
	RefAsValue
	ValuePathCompare
	BareExtensionNames
	numRules
)

type ruleInfo struct{ name, doc, source string }

var ruleTable = [numRules]ruleInfo{
	CoerceBool: {
		"coerceBool", `"True" and "false" as strings are booleans`,
		"entra-docs use-scim-to-provision-users-and-groups; scimmy#86",
	},
	CoerceScalar: {
		"coerceScalar", "a number or boolean for a string attribute is stored as its text, and a numeric string for a number as the number",
		"SCIM 2.0 apps of Rippling and JumpCloud send employee numbers as numbers",
	},
	StringToComplex: {
		"stringToComplex", `a string for a complex attribute is its "value"`,
		"apache/directory-scimple#1244: Entra sends manager as a string",
	},
	SingleToList: {
		"singleToList", "one element where a multi-valued attribute takes a list is a list of one",
		"entra-docs: members sent as an object",
	},
	ListToSingle: {
		"listToSingle", "a list of one element where an attribute takes a single value is that element",
		"entra-docs scim tutorial, example 5: manager as an array",
	},
	EmptyUnsets: {
		"emptyUnsets", `"" and {"value":""} unset an attribute; an element whose "value" is null or "" is none`,
		"apache/directory-scimple#1242; SCIM validator scenario: remove manager",
	},
	UpsertOnFilter: {
		"upsertOnFilter", "replace with a value filter that matches nothing creates the element",
		"scim-for-keycloak#73; SCIM-SDK#416; scim-patch#176",
	},
	RemoveByValue: {
		"removeByValue", "remove with a path and a value removes only the elements of the value",
		"entra-docs scim-compatibility (flag off); MicrosoftDocs/azure-docs#30826",
	},
	RemovePathless: {
		"removePathless", "remove without a path takes its targets from the value",
		"elimity-com/scim#148",
	},
	DottedKeys: {
		"dottedKeys", "keys with dots, value filters or URNs in a pathless value are paths",
		"entra-docs scim-compatibility (aadOptscim062020); pingidentity/scim2#224",
	},
	LegacyURNs: {
		"legacyURNs", "schema URIs of SCIM 1 and of drafts stand for those of SCIM 2.0",
		"goauthentik/authentik#11249: OneLogin wire log",
	},
	IgnoreUnknown: {
		"ignoreUnknown", "unknown attributes and schemas in a body are left out",
		"entra-docs sample request (2.0User, top-level department)",
	},
	IgnoreUnknownPath: {
		"ignoreUnknownPath", "a PATCH operation on an unknown attribute does nothing, and the rest of the request counts",
		"learn.microsoft.com answers: one unmapped attribute keeps a user in escrow",
	},
	IgnoreReadOnly: {
		"ignoreReadOnly", "a PATCH operation on a read-only attribute does nothing",
		"okta-developer-docs scim-20: rename sends id with displayName",
	},
	OnePrimary: {
		"onePrimary", "of several primary elements in one list the first stays primary",
		"RFC 7643 §2.4 allows one",
	},
	EmptyOps: {
		"emptyOps", "a PATCH without operations changes nothing",
		"scimmyjs/scimmy#59: SCIM validator",
	},
	MissingSchemas: {
		"missingSchemas", "a body without (known) schemas is read as what the address says",
		"litellm Okta SPEC test; OneLogin wire log",
	},
	BareWords: {
		"bareWords", "an unquoted word as the compare value of a filter is a string",
		"entra-docs tutorial: filter=externalId eq jyoung",
	},
	UnknownIsAbsent: {
		"unknownIsAbsent", "an unknown attribute in a filter has no value instead of being an error",
		"RFC 7644 §3.4.2.1 treats undefined attributes so in searches over several types",
	},
	KeepActive: {
		"keepActive", "PUT without active keeps it",
		"okta-developer-docs scim-20: PUT echoes a GET",
	},
	KeepExternalID: {
		"keepExternalId", "PUT without externalId keeps it",
		"okta-developer-docs scim-20: the sample PUT has none; RFC 7644 §3.5.1 leaves it open",
	},
	GroupPatch204: {
		"groupPatch204", "PATCH of a group answers 204 without a body",
		"entra-docs use-scim-to-provision-users-and-groups",
	},
	UniqueDisplayName: {
		"uniqueDisplayName", "the displayName of a group is unique in its connection",
		"entra-docs: a second group of the same name is 409",
	},
	ObjectToScalar: {
		"objectToScalar", `an object of "value", with or without "$ref", for a simple attribute is that value`,
		`MicrosoftDocs/azure-docs#42220: [{"$ref":null,"value":"x"}] for displayName (AzureAdScimPatch2017)`,
	},
	OpCase: {
		"opCase", `"Add", "Replace" and "Remove" in any case are operations`,
		"entra-docs use-scim-to-provision-users-and-groups: sample requests",
	},
	RefAsValue: {
		"refAsValue", `the last part of "$ref" is the id of a member that has no "value"`,
		"RFC 7643 §2.4: $ref is the address of the resource that value names",
	},
	ValuePathCompare: {
		"valuePathCompare", `path[filter].sub op value, in a filter, is path[filter and sub op value]`,
		"entra-docs: matching on emails[type eq \"work\"].value; elimity-com/scim#150",
	},
	BareExtensionNames: {
		"bareExtensionNames", "an attribute of the enterprise extension may stand in a filter or path without its URI",
		"entra-docs: filter=id eq … and manager eq …; simpleidserver#138: path employeeNumber",
	},
}

// String is the name under which the rule is logged.
func (r Rule) String() string {
	if r >= numRules {
		return "unknown"
	}
	return ruleTable[r].name
}

// Doc says in one line what the rule tolerates.
func (r Rule) Doc() string {
	if r >= numRules {
		return ""
	}
	return ruleTable[r].doc
}

// Source names the document or report that shows a client needing the rule.
func (r Rule) Source() string {
	if r >= numRules {
		return ""
	}
	return ruleTable[r].source
}

// Rules lists every rule in table order.
func Rules() []Rule {
	all := make([]Rule, numRules)
	for i := range all {
		all[i] = Rule(i)
	}
	return all
}

// set is a set of rules.
type set uint32

func rules(rs ...Rule) set {
	var s set
	for _, r := range rs {
		s |= 1 << r
	}
	return s
}

func (s set) has(r Rule) bool { return r < numRules && s&(1<<r) != 0 }

// Fired records which rules decided something in one request. The zero value
// is ready; it is not safe for concurrent use.
type Fired struct{ hit set }

// Mark records that r fired. A nil recorder takes it and forgets.
func (f *Fired) Mark(r Rule) {
	if f != nil {
		f.hit |= 1 << r
	}
}

// Names lists the rules that fired, in table order; nil when none did.
func (f *Fired) Names() []string {
	if f == nil || f.hit == 0 {
		return nil
	}
	var names []string
	for r := range numRules {
		if f.hit.has(r) {
			names = append(names, r.String())
		}
	}
	return names
}
