package signin

// socialExplanations are of sign-ins through connections of the environment.
var socialExplanations = map[string]explained{
	"SIGNIN_SOCIAL_TAKEN": {"The account at the social provider is connected to another person of the environment already.", WhoPerson, nowhere, "Sign in as that person and disconnect it there, or have the vendor disconnect it; an account is of one person."},
	"OIDC_KEY_ISSUER":     {"The token is signed with a key that the provider publishes for another directory.", WhoVendor, nowhere, "If it is not an attack, report it to the provider with the time of this sign-in."},
	"SIGNIN_SOCIAL_LIMIT": {"Twenty social accounts are connected to the person already.", WhoPerson, nowhere, "Disconnect one that is not needed."},
}
