// node-easywechat as its users use it, against the pretend WeChat.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { MiniApp } = require('node-easywechat');

const { WECHAT_URL: url, WECHAT_APPID: app_id, WECHAT_SECRET: secret } = process.env;

function application(config = {}) {
  return new MiniApp({
    app_id,
    secret,
    http: { baseURL: `${url}/` },
    file_cache: { path: fs.mkdtempSync(path.join(__dirname, '..', 'easywechat-')) },
    ...config,
  });
}

async function control(name, body = {}) {
  const answer = await fetch(`${url}/pretend/${name}`, { method: 'POST', body: JSON.stringify(body) });
  assert.ok(answer.ok, await answer.clone().text());
  return answer.status === 200 ? answer.json() : undefined;
}

test('somebody signs in by a code, once', async () => {
  const { js_code } = await control('js_code', { person: 'alice', unionid: true });
  const utils = application().getUtils();
  const session = await utils.codeToSession(js_code);
  assert.match(session.openid, /^o.{27}$/);
  assert.strictEqual(Buffer.from(session.session_key, 'base64').length, 16);
  assert.ok(session.unionid);
  await assert.rejects(utils.codeToSession(js_code), /40163.*code been used, rid: /);
});

for (const use_stable_access_token of [false, true]) {
  const kind = use_stable_access_token ? 'stable' : 'plain';

  test(`a code is drawn with the ${kind} token`, async () => {
    const client = application({ use_stable_access_token }).getClient();
    const response = await client.postJson('/wxa/getwxacodeunlimit', {
      scene: kind, page: 'pages/login/login', check_path: true, env_version: 'release', width: 430,
    }, { responseType: 'arraybuffer' });
    assert.strictEqual(response.getHeader('content-type'), 'image/jpeg');
    const file = path.join(__dirname, '..', `easywechat-${kind}.jpg`);
    response.saveAs(file);
    assert.strictEqual(fs.readFileSync(file).readUInt16BE(0), 0xffd8);
  });

  test(`a refusal with the ${kind} token is told as one`, async () => {
    const client = application({ use_stable_access_token, http: { baseURL: `${url}/`, throw: false } }).getClient();
    const response = await client.postJson('/wxa/getwxacodeunlimit', { scene: 's', page: '/nowhere' });
    assert.strictEqual(response.toObject().errcode, 41030);
  });
}

test('a wrong secret gives no token', async () => {
  const token = application({ secret: 'wrong', use_stable_access_token: true }).getAccessToken();
  await assert.rejects(token.getToken(), /40125.*invalid appsecret rid: /);
});

test('the session key is checked by its signature', async () => {
  const { js_code } = await control('js_code', { person: 'bob' });
  const app = application();
  const { openid, session_key } = await app.getUtils().codeToSession(js_code);
  const signature = require('node:crypto').createHmac('sha256', session_key).update('').digest('hex');
  const ask = async (signature) => {
    const params = { openid, signature, sig_method: 'hmac_sha256' };
    const client = application({ http: { baseURL: `${url}/`, throw: false } }).getClient();
    return (await client.get('/wxa/checksession', { params })).toObject().errcode;
  };
  assert.strictEqual(await ask(signature), 0);
  assert.strictEqual(await ask('0'.repeat(64)), 87009);
});
