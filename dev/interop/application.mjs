// What the applications of these tests have in common: keys that they publish,
// and pages that say what became of each step.
import http from 'node:http';

const given = JSON.parse(process.argv[2]);
export const settings = { ...given, base: `http://127.0.0.1:${given.port}` };
export const clientKeys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
const published = { keys: [{ ...(await crypto.subtle.exportKey('jwk', clientKeys.publicKey)), kid: 'k1', use: 'sig', alg: 'ES256', key_ops: undefined, ext: undefined }] };

const page = (id, value) => `<!doctype html><title>Application</title><pre id="${id}">${JSON.stringify(value, null, 1).replace(/[<&]/g, (c) => `&#${c.charCodeAt(0)};`)}</pre>`;

// told is what an error says: the provider's own code where it gave one.
const told = (e) => ({ error: e.error ?? String(e), description: e.error_description, cause: e.cause && String(e.cause) });

// serve answers with what the steps give: login and out where to go, the others
// what to show.
export function serve(steps) {
  const routes = {
    '/jwks': () => ({ json: published }),
    '/login': async () => ({ to: await steps.login() }),
    '/callback': async (url) => ({ page: page('result', await steps.callback(url)) }),
    '/out': async () => ({ to: await steps.out() }),
    '/bye': async (url) => ({ page: page('gone', { state: url.searchParams.get('state'), ...(await refused()) }) }),
    '/revoke': async () => ({ page: page('gone', { revoked: (await steps.revoke()) ?? true, ...(await refused()) }) }),
    '/service': async () => ({ json: await steps.service() }),
  };
  const refused = () => steps.refresh().then(() => ({ error: 'none: the refresh token still works' }), told);
  http.createServer(async (request, response) => {
    const url = new URL(request.url, settings.base);
    try {
      const { to, json, page: html } = (await routes[url.pathname]?.(url)) ?? {};
      if (to) return response.writeHead(303, { location: String(to) }).end();
      if (json) return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json));
      response.writeHead(html ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' }).end(html);
    } catch (e) {
      console.error(url.pathname, e);
      response.writeHead(500, { 'content-type': 'text/html; charset=utf-8' }).end(page('failed', told(e)));
    }
  }).listen(settings.port, '127.0.0.1');
}
