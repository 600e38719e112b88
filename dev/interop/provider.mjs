// An OpenID provider made of npm's oidc-provider, as an enterprise's would be
// set up for a gateway. Its settings come as JSON in the first argument:
// {port, clients, person}. Any name and password sign the person in.
import { Provider } from 'oidc-provider';

const { port, clients, person } = JSON.parse(process.argv[2]);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'given_name', 'family_name', 'groups'] },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  pkce: { required: () => true },
  // The gateway of this test stands on loopback, which the provider's own client refuses.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  async findAccount(_, id) {
    return { accountId: id, claims: async () => ({ sub: id, ...person }) };
  },
});
for (const event of ['grant.error', 'backchannel.error', 'server_error']) {
  provider.on(event, (...args) => console.error(event, args.find((a) => a instanceof Error)));
}
provider.listen(port, '127.0.0.1');
