// The real thing: `saoma serve` and `saoma pretend` as two processes, a proxy before saoma as in most places, and a site that
// knows OpenID Connect and nothing of WeChat.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import jsQR from 'jsqr';
import { PNG } from 'pngjs';
import { WECHAT } from '../support/browser.js';

const BINARY = process.env.SAOMA ?? fileURLToPath(new URL('../../../target/debug/saoma', import.meta.url));
const APPID = 'wx0123456789abcdef';

const listening = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const freePort = async () => {
  const server = createServer();
  const port = await listening(server);
  await new Promise((done) => server.close(done));
  return port;
};

// Starts the binary and waits until `ready` answers; what it prints is shown if it does not.
async function start(args, ready) {
  assert.ok(existsSync(BINARY), `${BINARY} is not there: run cargo build first`);
  const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, SAOMA_LOG: 'warn' } });
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => printed.push(line));
  const ended = new Promise((done) => child.once('exit', done));
  const gone = ended.then((code) => Promise.reject(new Error(`${args.join(' ')} ended with ${code}:\n${printed.join('\n')}`)));
  gone.catch(() => {});
  const answers = (async () => {
    while (!(await fetch(ready).then((answer) => answer.ok, () => false))) await new Promise((done) => setTimeout(done, 20));
  })();
  await Promise.race([answers, gone]);
  return {
    printed,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}

// Passes everything on; sockets can be cut, as some networks do.
async function startProxy(to) {
  const proxy = { cutSockets: false, away: false, paths: [] };
  const server = createServer((incoming, outgoing) => {
    proxy.paths.push(incoming.url);
    if (proxy.away) return incoming.destroy();
    const onward = forward({ host: '127.0.0.1', port: to, method: incoming.method, path: incoming.url, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => incoming.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    proxy.paths.push(incoming.url);
    socket.on('error', () => {});
    if (proxy.cutSockets || proxy.away) return socket.end('HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    const onward = connect(to, '127.0.0.1', () => {
      const headers = incoming.rawHeaders.reduce((lines, word, index) => lines + word + (index % 2 ? '\r\n' : ': '), '');
      onward.write(`GET ${incoming.url} HTTP/1.1\r\n${headers}\r\n`);
      if (head.length) onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
  proxy.port = await listening(server);
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket).size && socket.on('close', () => sockets.delete(socket)));
  proxy.close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  };
  return proxy;
}

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);

// A site with the usual four addresses. Its sessions live in memory; it checks what a site must check.
async function startSite(saoma, through) {
  const sessions = new Map();
  const site = { port: 0, denied: 0 };
  const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><main><h1>${title}</h1>${body}</main>`;
  const begin = (session) => {
    const verifier = randomBytes(32).toString('base64url');
    Object.assign(session, { verifier, state: randomBytes(16).toString('base64url'), nonce: randomBytes(16).toString('base64url') });
    return { challenge: createHash('sha256').update(verifier).digest('base64url'), ...session };
  };
  const ask = (path, options) => fetch(`http://127.0.0.1:${through()}${path}`, options);

  async function redeem(code, verifier, nonce) {
    const answer = await ask('/oauth2/token', {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'authorization_code', code, code_verifier: verifier, client_id: 'blog', redirect_uri: `${site.origin}/callback` }),
    });
    const tokens = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(tokens));
    const [header, payload, signature] = tokens.id_token.split('.');
    const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url'));
    assert.equal(alg, 'RS256');
    const { keys } = await (await ask('/oauth2/jwks')).json();
    const key = createPublicKey({ key: keys.find((each) => each.kid === kid), format: 'jwk' });
    assert.ok(verify('RSA-SHA256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')), 'the signature is saoma’s');
    const claims = JSON.parse(Buffer.from(payload, 'base64url'));
    assert.equal(claims.iss, saoma);
    assert.equal(claims.aud, 'blog');
    assert.equal(claims.nonce, nonce);
    return claims;
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, site.origin);
    const send = (status, content, headers) => response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(content);
    let id = /session=(\w+)/.exec(request.headers.cookie ?? '')?.[1];
    if (!sessions.has(id)) sessions.set((id = randomBytes(16).toString('hex')), {});
    const session = sessions.get(id);
    const cookie = { 'set-cookie': `session=${id}; HttpOnly; SameSite=Lax` };
    try {
      if (url.pathname === '/sign-in') {
        const { challenge, state, nonce } = begin(session);
        const query = new URLSearchParams({
          response_type: 'code', client_id: 'blog', redirect_uri: `${site.origin}/callback`, scope: 'openid profile', state, nonce,
          code_challenge: challenge, code_challenge_method: 'S256',
        });
        return send(302, '', { ...cookie, location: `${saoma}/oauth2/authorize?${query}` });
      }
      if (url.pathname === '/embedded') {
        const { challenge, state, nonce } = begin(session);
        return send(200, page('A blog', `<script type="module" src="${saoma}/wechat-login.js"></script>
          <wechat-login client-id="blog" redirect-uri="${site.origin}/callback" scope="openid profile" code-challenge="${challenge}" state="${state}" nonce="${nonce}"></wechat-login>`), cookie);
      }
      if (url.pathname === '/by-itself') {
        return send(200, page('A page alone', `<script type="module">
          addEventListener('saoma-approved', async ({ detail }) => {
            const answer = await fetch('${saoma}/oauth2/token', { method: 'POST', body: new URLSearchParams({
              grant_type: 'authorization_code', client_id: 'blog', redirect_uri: '${site.origin}/callback', code: detail.code, code_verifier: detail.code_verifier }) });
            const { id_token } = await answer.json();
            document.querySelector('h1').textContent = 'sub ' + JSON.parse(atob(id_token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).sub;
          });
          import('${saoma}/wechat-login.js');
          </script><wechat-login client-id="blog" redirect-uri="${site.origin}/callback"></wechat-login>`));
      }
      if (url.pathname === '/callback') {
        const { state, verifier, nonce } = session;
        assert.equal(url.searchParams.get('state'), state);
        assert.equal(url.searchParams.get('iss'), saoma);
        if (url.searchParams.has('error')) {
          site.denied++;
          return send(200, page('Not signed in', `<p>${escape(url.searchParams.get('error'))}</p>`));
        }
        session.person = await redeem(url.searchParams.get('code'), verifier, nonce);
        return send(303, '', { location: '/me' });
      }
      if (url.pathname === '/me') {
        return session.person
          ? send(200, page('Me', `<p id="sub">${escape(session.person.sub)}</p><p id="name">${escape(session.person.name ?? '')}</p>`))
          : send(401, page('Not signed in', ''));
      }
      send(200, page('A blog', '<a href="/sign-in">Sign in with WeChat</a>'), cookie);
    } catch (error) {
      send(500, page('Something is wrong', `<pre>${escape(error.stack)}</pre>`));
    }
  });
  site.port = await listening(server);
  site.origin = `http://127.0.0.1:${site.port}`;
  site.close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return site;
}

/**
 * Starts all of it. `settings` are lines of TOML for the top of saoma.toml, `tables` for its end; `month` fills the database
 * with a busy month first.
 */
export async function startWorld({ settings = '', tables = '', month = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'saoma-'));
  const [saomaPort, adminPort, wechatPort] = [await freePort(), await freePort(), await freePort()];
  const proxy = await startProxy(saomaPort);
  const world = { proxy, saoma: `http://localhost:${proxy.port}`, console: `http://127.0.0.1:${adminPort}` };
  world.site = await startSite(world.saoma, () => proxy.port);
  const config = join(folder, 'saoma.toml');
  writeFileSync(config, `
public_url = "${world.saoma}"
listen = "127.0.0.1:${saomaPort}"
admin_listen = "127.0.0.1:${adminPort}"
store = "sqlite:${join(folder, 'saoma.db')}"
${settings}
[wechat]
base_url = "http://127.0.0.1:${wechatPort}"
appid = "${APPID}"
secret = "pretend"
${tables}
[[site]]
id = "blog"
name = "My blog"
redirect_uris = ["${world.site.origin}/callback"]
origins = ["${world.site.origin}"]
`);
  if (month) execFileSync(join(dirname(BINARY), 'examples/busy_month'), [join(folder, 'saoma.db')]);
  const wechat = await start(['pretend', '--listen', `127.0.0.1:${wechatPort}`, '--appid', APPID, '--secret', 'pretend'], `http://127.0.0.1:${wechatPort}/pretend/calls`);
  const serve = () => start(['serve', '--config', config], `http://127.0.0.1:${saomaPort}/readyz`);
  let server = await serve().catch(async (error) => {
    await wechat.stop();
    await Promise.all([proxy.close(), world.site.close()]);
    throw error;
  });

  const post = async (url, body, token) => {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': WECHAT.userAgent, ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    return { status: answer.status, ...(await answer.json()) };
  };
  const api = `http://127.0.0.1:${saomaPort}/api/phone`;

  // One person's phone: wx.login from the pretend WeChat, then what the mini program does.
  world.phone = (person) => {
    const jsCode = async () => (await post(`http://127.0.0.1:${wechatPort}/pretend/js_code`, { person })).js_code;
    const decide = (verb) => ({ scene, token }, more = {}) => post(`${api}/tickets/${scene}/${verb}`, more, token);
    return {
      scan: async (scene, entry = 1047) => post(`${api}/tickets/${scene}/scan`, { js_code: await jsCode(), entry, protocol: 1 }),
      type: async (digits) => post(`${api}/codes/${digits}/scan`, { js_code: await jsCode(), protocol: 1 }),
      approve: decide('approve'),
      deny: decide('deny'),
    };
  };
  // A link into the console: the one that the start printed while there was no owner, or one of the command line.
  world.printed = () => server.printed.join('\n');
  world.link = () => execFileSync(BINARY, ['console', 'link', '--config', config], { encoding: 'utf8' }).split('\n')[0];
  world.crash = async () => {
    await server.stop('SIGKILL');
    server = await serve();
  };
  world.stop = async () => {
    await server.stop();
    await wechat.stop();
    await Promise.all([proxy.close(), world.site.close()]);
    rmSync(folder, { recursive: true });
  };
  return world;
}

/** The scene, read off a screenshot as a camera would. */
export async function readScene(page) {
  await page.waitForFunction(() => {
    const host = document.querySelector('wechat-login');
    const img = host.querySelector('img') ?? host.shadowRoot.querySelector('img');
    return img.complete && img.naturalWidth > 0;
  });
  const { data, width, height } = PNG.sync.read(await page.screenshot());
  const read = jsQR(new Uint8ClampedArray(data), width, height);
  assert.ok(read, 'a code can be read off the screen');
  return new URL(read.data).searchParams.get('scene');
}
