// A vendor's application made with npm's openid-client. Its settings come as JSON
// in the first argument: {port, issuer, client_id, client_secret}. Without a secret
// it is as strict as the library can be: it signs its assertions, pushes its
// requests and binds its tokens to a key.
import * as client from 'openid-client';
import { clientKeys, serve, settings } from './application.mjs';

const { base, issuer, client_id, client_secret } = settings;
const strict = !client_secret;
const auth = strict ? client.PrivateKeyJwt({ key: clientKeys.privateKey, kid: 'k1' }) : client.ClientSecretBasic(client_secret);
const config = await client.discovery(new URL(issuer), client_id, {}, auth, { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] });
const options = strict ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) } : undefined;
let asked, tokens;

serve({
  async login() {
    asked = { pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(), expectedNonce: client.randomNonce() };
    const parameters = {
      redirect_uri: `${base}/callback`, scope: 'openid profile email offline_access', state: asked.expectedState, nonce: asked.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(asked.pkceCodeVerifier), code_challenge_method: 'S256', prompt: 'login', max_age: '600',
    };
    return strict ? client.buildAuthorizationUrlWithPAR(config, parameters, options) : client.buildAuthorizationUrl(config, parameters);
  },
  async callback(url) {
    const first = await client.authorizationCodeGrant(config, url, { ...asked, maxAge: 600, idTokenExpected: true }, undefined, options);
    tokens = await client.refreshTokenGrant(config, first.refresh_token, undefined, options);
    const claims = first.claims();
    return {
      claims, refreshed: tokens.claims(), rotated: tokens.refresh_token !== first.refresh_token, token_type: tokens.token_type,
      userinfo: await client.fetchUserInfo(config, tokens.access_token, claims.sub, options),
      introspected: await client.tokenIntrospection(config, tokens.access_token),
    };
  },
  async out() {
    return client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${base}/bye`, state: 'out' });
  },
  refresh: () => client.refreshTokenGrant(config, tokens.refresh_token, undefined, options),
  revoke: () => client.tokenRevocation(config, tokens.refresh_token),
  async service() {
    const got = await client.clientCredentialsGrant(config, undefined, options);
    return { token_type: got.token_type, introspected: await client.tokenIntrospection(config, got.access_token) };
  },
});
