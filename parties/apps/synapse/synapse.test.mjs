// Matrix Synapse, the homeserver that most of Matrix runs on: people sign in, talk, and are signed out from their phone.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { toml } from '../../sites.mjs';
import { World, freePort } from '../../world.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.PARTIES_SYNAPSE ?? here('../../../target/parties/synapse/bin/python');
const SECRET = 'a secret of twenty letters';

const port = await freePort();
const home = `http://127.0.0.1:${port}`;
const client = `${home}/client`;

let world;
before(async () => {
  world = await World.start(toml({
    // Synapse reads the name out of the id_token alone.
    id: 'synapse', secret: SECRET, alg: 'RS256', id_token_claims: true, pkce: 'required', redirect_uris: [`${home}/_synapse/client/oidc/callback`],
    post_logout_redirect_uris: [], backchannel_logout_uri: `${home}/_synapse/client/oidc/backchannel_logout`,
  }));
  const room = join(world.folder, 'synapse');
  mkdirSync(room);
  cpSync(here('log.yaml'), join(room, 'log.yaml'));
  const filled = { PORT: port, ROOM: room, ISSUER: world.issuer, SECRET };
  writeFileSync(join(room, 'homeserver.yaml'), readFileSync(here('homeserver.yaml'), 'utf8').replace(/@([A-Z]+)@/g, (_, name) => filled[name]));
  const synapse = [PYTHON, '-m', 'synapse.app.homeserver', '--config-path', join(room, 'homeserver.yaml')];
  const keys = await world.run([...synapse, '--generate-keys'], null, { cwd: room });
  assert.equal(await keys.ended, 0, keys.printed.join('\n'));
  await world.run(synapse, `${home}/health`, { cwd: room });
});
after(() => world?.stop());

async function call(method, path, token, body) {
  const answer = await fetch(`${home}/_matrix/client/v3/${path}`, {
    method, headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }, body: body && JSON.stringify(body),
  });
  return { status: answer.status, ...(await answer.json()) };
}

/** What a client does: the browser comes back to it with a token to sign in with. */
async function signIn(t, person) {
  const at = await world.page(t);
  await at.route(`${client}?*`, (route) => route.fulfill({ body: 'a client' }));
  await at.goto(`${home}/_matrix/client/v3/login/sso/redirect/oidc-wechat?${new URLSearchParams({ redirectUrl: client })}`);
  await world.scan(at, person);
  await at.waitForURL((url) => url.searchParams.has('loginToken')).catch(async () => assert.fail(await at.locator('body').innerText()));
  return call('POST', 'login', null, { type: 'm.login.token', token: new URL(at.url()).searchParams.get('loginToken') });
}

test('people sign in by phone, are the same ones again, and talk', async (t) => {
  const { flows } = await call('GET', 'login');
  assert.deepEqual(flows.find(({ type }) => type === 'm.login.sso').identity_providers.map(({ id, name }) => [id, name]), [['oidc-wechat', 'WeChat']]);
  const [ming, hong] = [await signIn(t, 'xiaoming'), await signIn(t, 'xiaohong')];
  assert.match(ming.user_id, /^@[a-z0-9]+:matrix\.localhost$/);
  assert.notEqual(ming.user_id, hong.user_id);
  assert.equal((await signIn(t, 'xiaoming')).user_id, ming.user_id);

  const { room_id } = await call('POST', 'createRoom', ming.access_token, { invite: [hong.user_id] });
  assert.equal((await call('POST', `rooms/${room_id}/join`, hong.access_token, {})).status, 200);
  const message = { msgtype: 'm.text', body: '扫码登录' };
  const { event_id } = await call('PUT', `rooms/${room_id}/send/m.room.message/1`, ming.access_token, message);
  assert.deepEqual((await call('GET', `rooms/${room_id}/event/${event_id}`, hong.access_token)).content, message);
});

test('a name and an address come along', async (t) => {
  const { user_id, access_token } = await signIn(t, 'xiaogang');
  assert.ok((await call('GET', `profile/${user_id}/displayname`, access_token)).displayname);
  const { threepids } = await call('GET', 'account/3pid', access_token);
  assert.match(threepids[0].address, /^[a-z0-9]+@users\.example\.com$/);
});

test('a sign-in that is ended on the phone ends here', async (t) => {
  const { access_token } = await signIn(t, 'xiaowang');
  assert.equal((await call('GET', 'account/whoami', access_token)).status, 200);
  await world.endLogins('xiaowang');
  let told;
  for (const end = Date.now() + 10_000; (told = await call('GET', 'account/whoami', access_token)).status === 200; await pause(100)) assert.ok(Date.now() < end, 'Synapse was not told');
  assert.equal(told.errcode, 'M_UNKNOWN_TOKEN');
});

test('who says no is told so', async (t) => {
  const at = await world.page(t);
  await at.goto(`${home}/_matrix/client/v3/login/sso/redirect/oidc-wechat?${new URLSearchParams({ redirectUrl: client })}`);
  await world.scan(at, 'xiaoming', { decide: 'deny' });
  assert.match(await at.locator('body').innerText(), /access_denied|denied/i);
});
