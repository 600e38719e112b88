package provider

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plans are the modules of the OpenID Foundation's conformance plans that apply
// here. Each is a subtest of its name; a plan whose test leaves one out fails.
//
// Of the dynamic plan, the modules that apply to a provider whose applications
// are registered by the vendor alone: those of registration hold for the
// management API's.
var plans = map[string]string{
	"oidcc-basic-certification-test-plan":          basicModules,
	"oidcc-formpost-basic-certification-test-plan": basicModules,
	"oidcc-config-certification-test-plan":         "DiscoveryEndpointVerification",
	"oidcc-dynamic-certification-test-plan": `IdTokenRS256 UserInfoRS256 RedirectUriMissing RedirectUriQueryOK RedirectUriQueryMismatch RedirectUriQueryAdded
		RedirectUriRegFrag RegistrationJwksUri ServerRotateKeys RefreshTokenRPKeyRotation RequestUriSignedRS256 EnsureClientAssertionWithIssAudSucceeds`,
	"oidcc-rp-initiated-logout-certification-test-plan": `DiscoveryVerification RpInitiatedLogout BadLogoutRedirectUri ModifiedIdTokenHint NoIdTokenHint
		NoParams NoPostLogoutRedirectUri NoState OnlyState QueryAddedToLogoutRedirectUri BadIdTokenHint`,
	"oidcc-backchannel-rp-initiated-logout-certification-test-plan": "Discovery BackChannelRpInitiatedLogout",
	"oidcc-3rdparty-init-login-certification-test-plan":             "3rdPartyInitLogin NonHttps",
	"fapi2-security-profile-final-test-plan": `HappyFlow DiscoveryEndpointVerification AccessTokenTypeHeaderCaseSensitivity
		AttemptReuseAuthorizationCodeAfterOneSecond AttemptToUseExpiredAuthCode CheckDpopProofNbfExp DpopNegativeTests EnsureDpopAuthCodeBindingSuccess
		DpopProofAtParEndpointBinding DpopProofWithIat10SecondsBefore DpopProofWithIat10SecondsAfter MismatchedDpopJkt HolderOfKeyRequired 64CharNonce
		LongNonce LongState WithoutNonce WithoutState OtherScopeOrder RegisteredRedirectUri RedirectUriInAuthorizationRequest ResponseTypeCodeIdToken
		ResponseTypeToken UnsignedAuthorizationRequestWithoutUsingPar PARAttemptReuseRequestUri PARAttemptToUseExpiredRequestUri
		PAREndpointArrayAudienceFails PAREndpointAsArrayAudienceFails PAREndpointAsAudienceFails PARTokenEndpointAsAudienceFails PAREnsurePKCERequired
		PAREnsurePKCECodeVerifierRequired PARPlainPKCERejected PARIncorrectPKCECodeVerifierRejected PARRejectInvalidHttpVerb
		PARRejectRequestUriInParAuthorizationFormParams ParWithoutDuplicateParameters RefreshToken UserRejectsAuthentication`,
}

const basicModules = `Server ResponseTypeMissing IdTokenSignature IdTokenUnsigned UserInfoGet UserInfoPostHeader UserInfoPostBody
	EnsureRequestWithoutNonceSucceedsForCodeFlow ScopeProfile ScopeEmail ScopeAddress ScopePhone ScopeAll AlternateHappyFlow DisplayPage DisplayPopup
	PromptLogin PromptNoneNotLoggedIn PromptNoneLoggedIn MaxAge1 MaxAge10000 EnsureRequestWithUnknownParameterSucceeds IdTokenHint LoginHint UiLocales
	ClaimsLocales EnsureRequestWithAcrValuesSucceeds AuthCodeReuse AuthCodeReuseAfter30Seconds EnsureRegisteredRedirectUri EnsurePostRequestSucceeds
	ServerTestClientSecretPost RequestUriUnsigned UnsignedRequestObject ClaimsEssential EnsureRequestObjectWithRedirectUri RefreshToken
	EnsureRequestWithValidPkceSucceeds`

// modules runs the modules of one plan.
type modules struct {
	*world
	name string
	left []string
}

func (w *world) plan(name string) *modules {
	w.Helper()
	m := &modules{world: w, name: name, left: strings.Fields(plans[name])}
	if len(m.left) == 0 {
		w.Fatalf("no plan %s", name)
	}
	return m
}

// run is one module; what goes wrong in it is its own fault.
func (m *modules) run(name string, f func(t *testing.T)) {
	m.Helper()
	if !slices.Contains(m.left, name) {
		m.Errorf("%s has no module %s, or it ran before", m.name, name)
	}
	m.left = slices.DeleteFunc(m.left, func(s string) bool { return s == name })
	whole := m.TB
	defer func() { m.TB = whole }()
	whole.(*testing.T).Run(name, func(t *testing.T) {
		m.TB = t
		f(t)
	})
}

// end says which modules did not run.
func (m *modules) end() {
	m.Helper()
	if len(m.left) > 0 {
		m.Errorf("%s lacks %v", m.name, m.left)
	}
}

// attacks are the attacks on a provider that must have a test, and the test that
// tries them, here or in the package that is named before it.
var attacks = map[string]string{
	"redirect_uri: exact string, path, query, port, scheme, case, IDN, javascript": "TestRedirectURIAttacks",
	"redirect_uri: only a loopback port may vary":                                  "TestLoopbackRedirect",
	"unknown client: a page, never a redirect":                                     "TestRedirectURIAttacks",
	"response_type other than code":                                                "TestAuthorizeRefusals",
	"PKCE absent, plain":                                                           "TestAuthorizeRefusals",
	"PKCE downgrade, lengths":                                                      "TestCodeAttacks",
	"code: late, twice, another client's, another redirect_uri":                    "TestCodeAttacks",
	"code: parallel redemptions":                                                   "TestParallelRedemptions",
	"refresh: reuse, another client's, wider scope":                                "TestRefreshRotation",
	"refresh: the same successor in the grace":                                     "TestParallelRefresh",
	"refresh after deactivation, removal, suspension, session's end":               "TestLifecycleAtEveryGrant",
	"refresh after a role change":                                                  "TestRefreshComputesRolesAnew",
	"refresh after logout":                                                         "TestOIDCCRPInitiatedLogout",
	"client authentication: two methods, encoding":                                 "TestClientAuthentication",
	"private_key_jwt: replay, audience, life, alg none":                            "TestClientAssertion",
	"PAR: reuse, expiry, another client's, request_uri inside":                     "TestPushedRequests",
	"DPoP: htm, htu, ath, jti, iat, alg, jwk, jkt":                                 "TestProofs",
	"DPoP: nonce absent, expired, of the future, of another server or environment": "TestDPoPNonceAttacks",
	"DPoP: a bound token as a bearer at the management API":                        "TestFAPI2HappyFlow",
	"token exchange: what restricts actor, application, subject and scope":         "TestTokenExchangeAttacks",
	"token exchange: after suspension, deactivation, another environment's actor":  "TestTokenExchangeLifecycle",
	"exchanged API token: after revocation, deactivation, suspension":              "TestExchangedAPITokenEnds",
	"exchanged API token: claims that do not belong together":                      "TestExchangedAPITokenAttacks",
	"claims of the provider's own from a template, in any case":                    "TestTemplatesCannotReplaceClaims",
	"prompt=none and max_age against a session that does not suffice":              "TestSessionAnswersForItsTenants",
	"id_token_hint of another person, tenant, environment; expired":                "TestIDTokenHints",
	"login_hint injection":                                                         "TestLoginHintInjection",
	"request object unsigned, signed, with the client secret":                      "TestRequestObjects",
	"iss in every answer":                                                          "TestAuthorizeRefusals",
	"CSRF on login: a flow belongs to its browser":                                 "TestResumeIsBoundToTheBrowser",
	"CSRF on logout: a page asks":                                                  "TestOIDCCRPInitiatedLogout",
	"post_logout_redirect_uri exact":                                               "TestPostLogoutRedirectURIAttacks",
	"token types confused, tenant claim":                                           "TestUserinfoAttacks",
	"introspection by another client":                                              "TestRevokeAndIntrospect",
	"Host and X-Forwarded-* poisoning":                                             "TestPoisonedHeaders",
	"303, not 307":                                                                 "TestAnswersAre303",
	"open redirect by parameters of the sign-in":                                   "TestOpenRedirect",
	"tenant claim at the management API, ID token at a resource":                   "gatewaytest TestTokensOfOtherTenantsAtTheAPI",
	"a credential of one tenant at every route of another":                         "api TestIsolationOfCredentials",
	"clickjacking headers, markup in parameters":                                   "gatewaytest TestProviderPages",
	"CSRF on the forms of login and logout":                                        "gatewaytest TestFormsOfOtherSites",
	"session fixation by a sign-in":                                                "signin TestSessionInTheBrowser",
	"session fixation by a sign-in that is asked for":                              "gatewaytest TestSignInAnewChangesTheCookie",
	"open redirect by RelayState":                                                  "saml TestIdPInitiatedRelayState",
	"regressions of peers":                                                         "signin TestRegressionsOfPeers",
}

// The lists above are kept: every plan is run by a test, every attack's test is there.
func TestPlansAndAttacksHaveTests(t *testing.T) {
	here := tests(t, ".")
	for name := range plans {
		if !strings.Contains(here, `.plan("`+name+`")`) {
			t.Errorf("nothing runs %s", name)
		}
	}
	for attack, name := range attacks {
		dir, name, elsewhere := strings.Cut(name, " ")
		text := here
		if elsewhere {
			text = tests(t, filepath.Join("..", "..", dir))
		} else {
			name = dir
		}
		if !strings.Contains(text, "\nfunc "+name+"(t *testing.T) {\n") {
			t.Errorf("%s: there is no %s", attack, name)
		}
	}
}

// tests are the texts of a package's tests.
func tests(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
