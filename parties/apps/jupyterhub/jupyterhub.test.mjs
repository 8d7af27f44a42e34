// JupyterHub with oauthenticator: OAuth 2.0 as many applications speak it, with userinfo and without a look at the id_token.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { toml } from '../../sites.mjs';
import { World, freePort } from '../../world.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const ROOM = process.env.PARTIES_JUPYTERHUB ?? here('../../../target/parties/jupyterhub');
const SECRET = 'only-for-trying';

const [port, internal, api] = await Promise.all([freePort(), freePort(), freePort()]);
const hub = `http://127.0.0.1:${port}`;

let world;
before(async () => {
  world = await World.start(toml({
    id: 'jupyterhub', secret: SECRET, alg: 'RS256', pkce: 'required', redirect_uris: [`${hub}/hub/oauth_callback`], post_logout_redirect_uris: [],
  }));
  const cwd = join(world.folder, 'jupyterhub');
  mkdirSync(cwd);
  await world.run([join(ROOM, 'bin/python'), '-m', 'jupyterhub', '--config', here('jupyterhub_config.py')], `${hub}/hub/health`, { cwd, env: {
    ISSUER: world.issuer, HUB_PORT: port, HUB_INTERNAL: internal, HUB_PROXY_API: api, HUB_SECRET: SECRET,
    HUB_PROXY: join(ROOM, 'node_modules/.bin/configurable-http-proxy'),
  } });
});
after(() => world?.stop());

async function begin(t) {
  const at = await world.page(t);
  await at.goto(`${hub}/hub/login`);
  await at.getByText('Sign in with WeChat').click();
  return at;
}

async function signIn(t, person) {
  const at = await begin(t);
  await world.scan(at, person);
  await at.waitForURL(`${hub}/hub/home`);
  return at.locator('.navbar').innerText();
}

test('people sign in by phone, each to a place of their own', async (t) => {
  const [ming, hong] = [await signIn(t, 'xiaoming'), await signIn(t, 'xiaohong')];
  assert.match(ming, /Logout/);
  assert.notEqual(ming, hong);
  assert.equal(await signIn(t, 'xiaoming'), ming);
});

test('who says no is told so', async (t) => {
  const at = await begin(t);
  await world.scan(at, 'xiaoming', { decide: 'deny' });
  assert.match(await at.locator('body').innerText(), /access_denied|the person said no/);
});
