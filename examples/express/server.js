import { randomBytes } from 'node:crypto';
import express from 'express';
import session from 'express-session';
import * as oidc from 'openid-client';

const {
  ISSUER = 'http://127.0.0.1:8080',
  CLIENT_ID = 'express',
  CLIENT_SECRET = 'only-for-trying',
  SITE = 'http://127.0.0.1:3000',
  SESSION_SECRET = randomBytes(32).toString('hex'),
} = process.env;

const redirect_uri = `${SITE}/callback`;
const secure = SITE.startsWith('https:');

// All that has to be known of saoma is its issuer. http is for this machine alone.
const execute = ISSUER.startsWith('https:') ? [] : [oidc.allowInsecureRequests];
const config = await oidc.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, { execute });

const app = express();
app.use(session({ secret: SESSION_SECRET, resave: false, saveUninitialized: false, cookie: { sameSite: 'lax', secure } }));

app.get('/login', async (request, response) => {
  const checks = {
    pkceCodeVerifier: oidc.randomPKCECodeVerifier(),
    expectedState: oidc.randomState(),
    expectedNonce: oidc.randomNonce(),
  };
  request.session.checks = checks;
  const to = oidc.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid profile',
    code_challenge: await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
  });
  response.redirect(to.href);
});

app.get('/callback', async (request, response) => {
  const { checks } = request.session;
  const tokens = await oidc.authorizationCodeGrant(config, new URL(request.originalUrl, SITE), checks);
  const person = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  // A session of another id, so that nobody signs in with one that a stranger has left in this browser.
  request.session.regenerate(() => {
    Object.assign(request.session, { person, id_token: tokens.id_token });
    request.session.save(() => response.redirect('/'));
  });
});

app.get('/logout', (request, response) => {
  const to = oidc.buildEndSessionUrl(config, {
    post_logout_redirect_uri: `${SITE}/`,
    ...(request.session.id_token && { id_token_hint: request.session.id_token }),
  });
  request.session.destroy(() => response.redirect(to.href));
});

app.get('/', (request, response) => {
  const { person } = request.session;
  // `sub` is who it is, the same for ever; the name is what they like to be called today.
  const body = person
    ? `<p>Hello, <strong id="name">${escape(person.name)}</strong>.</p><p><a href="/logout">Sign out</a></p>`
    : '<p>Nobody is signed in.</p><p><a href="/login">Sign in with WeChat</a></p>';
  response.send(page(body));
});

// The person said no, or the answer was not for this browser.
app.use((error, request, response, next) => {
  console.error(error);
  response.status(400).send(page(`<p>Not signed in: ${escape(error.error ?? error.message)}</p><p><a href="/">Back</a></p>`));
});

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = (body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>An Express site</title>
<link rel="icon" href="data:,">
<style>body { font: 17px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; text-align: center; }</style>
<h1>An Express site</h1>
${body}`;

app.listen(new URL(SITE).port || 3000, '127.0.0.1', () => console.log(`The site is at ${SITE}`));
