// The same application as in openid-client.mjs, made with npm's oauth4webapi, which
// leaves each request and each check of an answer to its user.
import * as oauth from 'oauth4webapi';
import { clientKeys, serve, settings } from './application.mjs';

const { base, issuer, client_id, client_secret } = settings;
const strict = !client_secret;
const loopback = { [oauth.allowInsecureRequests]: true };
const as = await oauth.discoveryRequest(new URL(issuer), loopback).then((r) => oauth.processDiscoveryResponse(new URL(issuer), r));
const client = { client_id };
const auth = strict ? oauth.PrivateKeyJwt({ key: clientKeys.privateKey, kid: 'k1' }) : oauth.ClientSecretPost(client_secret);
const options = strict ? { ...loopback, DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) } : loopback;
const redirect_uri = `${base}/callback`;
let asked, tokens;

const introspect = async (token) =>
  oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, loopback));
// again repeats what the server wanted a nonce of its own for (RFC 9449 §8).
let nonces = 0;
const again = (f) => f().catch((e) => {
  if (!strict || !oauth.isDPoPNonceError(e)) throw e;
  nonces++;
  return f();
});
const refresh = (token) =>
  again(async () => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, token, options)));

serve({
  async login() {
    asked = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce() };
    const url = new URL(as.authorization_endpoint);
    const parameters = new URLSearchParams({
      client_id, redirect_uri, response_type: 'code', scope: 'openid profile email offline_access', state: asked.state, nonce: asked.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(asked.verifier), code_challenge_method: 'S256', prompt: 'login', max_age: '600',
    });
    if (!strict) {
      url.search = parameters;
      return url;
    }
    const pushed = await again(async () =>
      oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, auth, parameters, options)));
    url.search = new URLSearchParams({ client_id, request_uri: pushed.request_uri });
    return url;
  },
  async callback(url) {
    const parameters = oauth.validateAuthResponse(as, client, url, asked.state); // also of iss
    let response;
    const first = await again(async () => {
      response = await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, redirect_uri, asked.verifier, options);
      return oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: asked.nonce, maxAge: 600, requireIdToken: true });
    });
    await oauth.validateApplicationLevelSignature(as, response, loopback);
    const claims = oauth.getValidatedIdTokenClaims(first);
    tokens = await refresh(first.refresh_token);
    // What a resource of the vendor's would check of the access token (RFC 9068).
    const proof = strict && (await resourceProof(tokens.access_token));
    const request = new Request(`${base}/resource`, { headers: { authorization: `${strict ? 'DPoP' : 'Bearer'} ${tokens.access_token}`, ...(proof && { dpop: proof }) } });
    const access = await oauth.validateJwtAccessToken(as, request, client_id, { ...loopback, requireDPoP: strict });
    return {
      claims, refreshed: oauth.getValidatedIdTokenClaims(tokens), rotated: tokens.refresh_token !== first.refresh_token, token_type: tokens.token_type, access, nonces,
      userinfo: await again(async () => oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, options))),
      introspected: await introspect(tokens.access_token),
    };
  },
  async out() {
    const url = new URL(as.end_session_endpoint);
    url.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${base}/bye`, state: 'out' });
    return url;
  },
  refresh: () => refresh(tokens.refresh_token),
  async revoke() {
    return oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, tokens.refresh_token, loopback));
  },
  async service() {
    const got = await again(async () =>
      oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, auth, {}, options)));
    return { token_type: got.token_type, introspected: await introspect(got.access_token) };
  },
});

// resourceProof is the proof that the library would send to a resource.
async function resourceProof(token) {
  let proof;
  await oauth.protectedResourceRequest(token, 'GET', new URL(`${base}/resource`), undefined, undefined, {
    ...options,
    [oauth.customFetch]: async (_, { headers }) => {
      proof = new Headers(headers).get('dpop');
      return new Response();
    },
  });
  return proof;
}
