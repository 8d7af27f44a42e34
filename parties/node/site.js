// Sites with openid-client, in the manner of its README: Express, a session, PKCE or else a nonce, and everything checked that
// the library can check. One program serves all of them, each below its own path.

import express from 'express';
import session from 'express-session';
import * as oidc from 'openid-client';

const { ISSUER, SITES, PORT } = process.env;
const app = express();

// Where saoma is reached without TLS, which is only ever the case on one machine.
const execute = ISSUER.startsWith('http:') ? [oidc.allowInsecureRequests] : [];

/** Reads saoma's discovery document once, at the start. */
async function connect({ id, secret, alg, auth }) {
  const authentication = auth === 'post' ? oidc.ClientSecretPost(secret) : oidc.ClientSecretBasic(secret);
  const config = await oidc.discovery(new URL(ISSUER), id, { id_token_signed_response_alg: alg }, authentication, { execute });
  oidc.enableNonRepudiationChecks(config); // Signatures too, though TLS has said already whose tokens these are.
  return config;
}

async function site({ id, base, mode, pkce, pushed, ...registered }) {
  const config = await connect({ id, ...registered });
  const redirect_uri = `${base}/callback`;
  const router = express.Router();
  router.use(session({ name: id, secret: id, resave: false, saveUninitialized: false, cookie: { path: new URL(base).pathname } }));

  router.get('/sign-in', async (request, response) => {
    const checks = { expectedState: oidc.randomState(), expectedNonce: oidc.randomNonce() };
    if (pkce === 'required') checks.pkceCodeVerifier = oidc.randomPKCECodeVerifier();
    const parameters = {
      redirect_uri, response_mode: mode, state: checks.expectedState, nonce: checks.expectedNonce,
      scope: 'openid profile email offline_access', ...request.query,
    };
    if (checks.pkceCodeVerifier) {
      parameters.code_challenge = await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier);
      parameters.code_challenge_method = 'S256';
    }
    request.session.checks = checks;
    const build = pushed ? oidc.buildAuthorizationUrlWithPAR : oidc.buildAuthorizationUrl;
    const to = await build(config, parameters);
    request.session.save(() => response.redirect(to.href));
  });

  const callback = async (request, response) => {
    const url = new URL(request.originalUrl, base);
    const answer = request.method === 'POST' ? new Request(url, { method: 'POST', body: new URLSearchParams(request.body) }) : url;
    const { checks } = request.session;
    const tokens = await oidc.authorizationCodeGrant(config, answer, checks);
    request.session.regenerate(() => {
      request.session.tokens = tokens;
      request.session.claims = tokens.claims();
      request.session.save(() => response.redirect(303, `${base}/`));
    });
  };
  router.get('/callback', callback);
  router.post('/callback', express.urlencoded(), callback);

  router.get('/', async (request, response) => {
    const { tokens, claims } = request.session;
    if (!tokens) return response.send('<a href="sign-in">Sign in with WeChat</a>');
    const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
    const { alg } = JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url'));
    response.send(page('me', { alg, claims, userinfo, introspected: await oidc.tokenIntrospection(config, tokens.access_token) }));
  });

  router.get('/refresh', async (request, response) => {
    const { tokens, claims } = request.session;
    const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    const again = fresh.claims();
    request.session.tokens = fresh;
    response.send(page('refreshed', { same: again.sub === claims.sub, rotated: fresh.refresh_token !== tokens.refresh_token }));
  });

  router.get('/revoke', async (request, response) => {
    const { tokens, claims } = request.session;
    await oidc.tokenRevocation(config, tokens.refresh_token);
    const { active } = await oidc.tokenIntrospection(config, tokens.access_token);
    const refused = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub).catch(({ status }) => status);
    response.send(page('revoked', { active, refused }));
  });

  router.get('/sign-out', (request, response) => {
    const { id_token } = request.session.tokens;
    const to = oidc.buildEndSessionUrl(config, { id_token_hint: id_token, post_logout_redirect_uri: `${base}/bye`, state: 'gone' });
    request.session.destroy(() => response.redirect(to.href));
  });
  router.get('/bye', (request, response) => response.send(page('bye', request.query)));

  app.use(`/${id}`, router);
}

const escape = (text) => text.replace(/[&<]/g, (sign) => ({ '&': '&amp;', '<': '&lt;' })[sign]);
const page = (id, value) => `<!doctype html><pre id="${id}">${escape(JSON.stringify(value))}</pre>`;

for (const each of JSON.parse(SITES)) await site(each);
// What the library refused, and why.
app.use((error, request, response, next) => {
  const { error: code, cause } = error;
  response.status(400).send(page('refused', { error: code ?? error.code ?? error.name, why: String(cause?.error_description ?? cause?.message ?? error.message) }));
});
app.listen(PORT, '127.0.0.1');
