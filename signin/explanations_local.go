package signin

// localExplanations are of sign-ins by password, passkey and second factor.
var localExplanations = map[string]explained{
	"SIGNIN_NO_CONNECTION":     {"Somebody followed an invitation to an organization that has no identity provider to sign in through.", WhoTenantAdmin, portalConnection, "Set a connection up, test it and switch it on. An invitation by mail can also be accepted with a password."},
	"SIGNIN_WRONG_PASSWORD":    {"The e-mail address or the password is wrong.", WhoPerson, nowhere, "Try again, or choose a new password with \"Forgot your password?\" on the sign-in page."},
	"SIGNIN_TOO_MANY_ATTEMPTS": {"Too many attempts failed, so that the account or the network address has to wait, or the lockout policy has locked the account.", WhoPerson, nowhere, "Wait as long as the page says. A new password, chosen with \"Forgot your password?\", lifts a lock of the account at once. Single sign-on and open sessions are not touched."},
	"SIGNIN_BUSY":              {"More people were signing in with a password at that moment than the server checks at once.", WhoPerson, nowhere, "Try again in a few seconds. If it happens often, the vendor gives the server more processors, or runs more of them."},
	"SIGNIN_WRONG_CODE":        {"The code of the second step did not match.", WhoPerson, nowhere, "Enter the code that the app shows now, and let the phone set its clock by itself. Each code serves once."},
	"SIGNIN_WRONG_KEY":         {"The answer of the security key or passkey was not accepted.", WhoPerson, nowhere, "Try again with a key that was set up for this account at this address. If a key is refused each time, remove it and set it up again."},
	"SIGNIN_KEYS_UNAVAILABLE":  {"The environment is served at a bare network address, for which no browser keeps keys.", WhoVendor, nowhere, "Give the environment a base URL with a host name."},
	"SIGNIN_CHALLENGE_EXPIRED": {"The answer came more than ten minutes after the question, or the question was already answered.", WhoPerson, nowhere, "Ask for a new code, or use the key again."},
	"SIGNIN_CODE_SENT":         {"A code was mailed less than half a minute ago.", WhoPerson, nowhere, "Look into the mailbox, also into the folder for unwanted mail, and ask again after half a minute."},
	"SIGNIN_RESET_EXPIRED":     {"The link for a new password was used, or is older than 15 minutes.", WhoPerson, nowhere, "Ask for a new one with \"Forgot your password?\" on the sign-in page."},
	"SIGNIN_UNLOCK_EXPIRED":    {"The link that lifts a lock was used, or is older than 15 minutes.", WhoPerson, nowhere, "Choose a new password with \"Forgot your password?\" on the sign-in page, or wait until the lock ends; an administrator can unlock the account at once."},
	"SIGNIN_STEP":              {"The answer was to a step that is not the next one.", WhoPerson, nowhere, "Go on from where the sign-in stands, or begin again from the application."},
	"SIGNIN_CHANGED_HANDS":     {"The identity that the provider vouched for came to belong to another account while its person was proving a second factor.", WhoTenantAdmin, portalPeople, "Look into the audit log for what was linked or moved at that time, and let the person begin again from the application."},
	"SIGNIN_ACCOUNT_UNKNOWN":   {"The person does not belong to the organization that was chosen, or cannot enter it now.", WhoTenantAdmin, portalPeople, "Choose another organization. If it is the right one, add the person to it, or enable the account."},
}
