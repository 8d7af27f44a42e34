// A small server that speaks the page's side of the protocol over real HTTP, with a phone that the tests hold in their hand.
// It knows nothing of WeChat and keeps no rule but those that a page can see.

import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import QRCode from 'qrcode';
import { WebSocketServer } from 'ws';
import { render } from './render.js';

const files = new URL('../../', import.meta.url);
const ASSETS = {
  '/wechat-login.js': ['wechat-login.js', 'text/javascript'],
  '/wxLogin.js': ['wxLogin.js', 'text/javascript'],
  '/assets/wechat-login.js': ['wechat-login.js', 'text/javascript'],
  '/assets/page.js': ['page.js', 'text/javascript'],
  '/assets/link.js': ['link.js', 'text/javascript'],
  '/assets/times.js': ['times.js', 'text/javascript'],
  '/assets/form-post.js': ['form-post.js', 'text/javascript'],
  '/assets/page.css': ['page.css', 'text/css'],
  '/.saoma/page.css': ['page.css', 'text/css'],
  '/assets/icon.svg': ['icon.svg', 'image/svg+xml'],
};
const FINAL = ['approved', 'denied', 'expired'];
const id = () => randomBytes(16).toString('base64url');
const same404 = { status: 404, code: 'no_such_ticket', title: 'No such ticket' };

class Ticket {
  constructor(saoma, request, right) {
    Object.assign(this, { saoma, request, ...right, id: id(), state: 'waiting', ends: Date.now() + saoma.life * 1000, waiters: new Set(), code: id() });
    saoma.tickets.set(this.id, this);
    saoma.last = this;
    // Comes true once a page listens, by whichever way: the page shows its code a little earlier.
    this.listening = new Promise((done) => (this.heard = done));
  }

  listen(tell) {
    this.waiters.add(tell);
    this.heard();
  }

  get hosted() {
    return this.cookie !== undefined;
  }

  see() {
    const seen = { state: this.state, expires_in: Math.max(0, Math.round((this.ends - Date.now()) / 1000)) };
    if (this.state === 'scanned' && this.match) seen.match = this.match;
    if (this.state === 'scanned' && this.hosted && this.person) seen.person = this.person;
    if (this.state === 'denied' && this.reason) seen.reason = this.reason;
    return seen;
  }

  become(state, more) {
    Object.assign(this, { state, ...more });
    for (const tell of [...this.waiters]) tell();
  }

  // What a phone and the clock do.
  scan({ match, person = { nickname: '小明', avatar: '/avatar.png' } } = {}) {
    this.become('scanned', { match, person, ends: Date.now() + this.saoma.life * 1000 });
  }
  approve() {
    this.become('approved');
  }
  deny(reason) {
    this.become('denied', { reason });
  }
  expire() {
    this.become('expired', { ends: Date.now() });
  }
  // A node died and took its memory with it.
  lose() {
    this.saoma.tickets.delete(this.id);
    this.wire?.terminate();
  }

  answer() {
    const at = `/api/tickets/${this.id}`;
    const answer = { ticket: this.id, expires_in: this.see().expires_in, code_url: `${at}/code`, ws_url: `${at}/ws`, events_url: `${at}/events`, poll_url: at };
    return this.hosted ? answer : { ...answer, key: this.key };
  }

  claim() {
    const { redirect_uri, state } = this.request;
    const params = this.state === 'approved' ? { code: this.code } : { error: 'access_denied', error_description: this.reason ?? 'the person said no' };
    if (state) params.state = state;
    params.iss = this.saoma.origin;
    const redirect_to = `${redirect_uri}?${new URLSearchParams(params)}`;
    return this.hosted ? { redirect_to } : { redirect_to, params };
  }
}

const body = async (request) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
};
const cookieOf = (request) => /(?:^|; )saoma=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];

export async function startSaoma({ name = '小站 My blog', logo = null, life = 120, origins = [] } = {}) {
  const saoma = {
    tickets: new Map(), last: null, calls: [], life, origins, name, logo, hasCode: true, failures: [], miniprogram: null,
    refuse: { ws: false, events: false },
    frames: [],
    count: (pattern) => saoma.calls.filter((call) => pattern.test(call)).length,
    // The next calls that match are answered so, instead of as they should be.
    fail: (pattern, status, times = 1, headers = {}, problem = { code: 'trouble' }) => saoma.failures.push({ pattern, status, times, headers, problem }),
    find: (ticket) => saoma.tickets.get(ticket),
  };

  const open = (request, right) => new Ticket(saoma, request, right);

  const mayWatch = (ticket, request) => ticket && (!ticket.hosted || ticket.cookie === cookieOf(request));

  async function api(request, url, send) {
    const [, , , ticketId, verb = ''] = url.pathname.split('/');
    const { origin } = request.headers;
    const { method } = request;
    const cors = saoma.origins.includes(origin) ? { 'access-control-allow-origin': origin, vary: 'Origin' } : {};
    if (method === 'OPTIONS') return send(204, null, { ...cors, 'access-control-allow-methods': 'POST, GET', 'access-control-allow-headers': 'content-type' });
    const json = (status, value) => send(status, value === null ? null : JSON.stringify(value), { ...cors, 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });

    const failure = saoma.failures.find(({ pattern, times }) => times > 0 && pattern.test(`${method} ${url.pathname}`));
    if (failure) {
      failure.times--;
      return send(failure.status, JSON.stringify(failure.problem), { ...cors, ...failure.headers, 'content-type': 'application/problem+json' });
    }
    if (method === 'POST' && (!origin || (origin !== saoma.origin && !saoma.origins.includes(origin)))) return json(403, { code: 'origin_not_allowed' });
    const given = method === 'POST' ? await body(request) : {};
    if (!ticketId) {
      saoma.opened = given;
      return json(201, open(given, { key: id(), origin, renewals: 0 }).answer());
    }
    const ticket = saoma.find(ticketId);
    const mine = ticket && (ticket.hosted ? ticket.cookie === cookieOf(request) && (method === 'GET' || origin === saoma.origin) : method === 'GET' || given.key === ticket.key);
    if (!mine) return json(404, same404);

    if (method === 'GET' && verb === 'code') {
      if (ticket.state !== 'waiting') return json(404, same404);
      return send(200, await QRCode.toBuffer(`weixin://pretend/wx0/pages/login/login?scene=${createHash('sha256').update(ticket.id).digest('base64url').slice(0, 22)}`, { width: 430, margin: 4, errorCorrectionLevel: 'M' }), { 'content-type': 'image/png', 'cache-control': 'no-store' });
    }
    if (method === 'GET' && verb === 'events') {
      if (saoma.refuse.events) return json(502, { code: 'cut' });
      return { stream: ticket, cors };
    }
    if (method === 'GET' && !verb) {
      const after = url.searchParams.get('after');
      if (!after || ticket.state !== after) return json(200, ticket.see());
      const wait = Number(url.searchParams.get('wait') ?? 25) * 1000;
      await new Promise((done) => {
        const end = () => (clearTimeout(timer), ticket.waiters.delete(end), done());
        const timer = setTimeout(end, wait);
        ticket.listen(end);
      });
      return json(200, ticket.see());
    }
    if (method !== 'POST') return json(405, { code: 'method' });
    if (verb === 'claim') return ['approved', 'denied'].includes(ticket.state) ? json(200, ticket.claim()) : json(409, { code: 'not_decided' });
    if (verb === 'renew') {
      if (!['waiting', 'expired'].includes(ticket.state)) return json(409, { code: 'already_decided' });
      if (ticket.renewals >= 5) return json(429, { code: 'too_many_renewals' });
      saoma.tickets.delete(ticket.id);
      const right = ticket.hosted ? { cookie: ticket.cookie } : { key: id(), origin: ticket.origin };
      return json(201, open(ticket.request, { ...right, renewals: ticket.renewals + 1 }).answer());
    }
    if (verb === 'digits') {
      ticket.digits ??= String(10_000_000 + (randomBytes(4).readUInt32BE() % 90_000_000));
      return json(200, { digits: ticket.digits, expires_in: ticket.see().expires_in });
    }
    if (verb === 'cancel') {
      saoma.tickets.delete(ticket.id);
      return json(204, null);
    }
    return json(404, same404);
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, saoma.origin);
    if (!url.pathname.startsWith('/assets/')) saoma.calls.push(`${request.method} ${url.pathname}${url.search}`);
    const send = (status, content, headers = {}) => {
      response.writeHead(status, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', ...headers });
      response.end(content);
    };
    const html = (status, content, headers = {}) =>
      send(status, content, {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${saoma.origin.replace('http', 'ws')}; frame-ancestors 'none'; base-uri 'none'`,
        'x-frame-options': 'DENY',
        ...headers,
      });
    const lang = /^zh/.test(url.searchParams.get('ui_locales') ?? request.headers['accept-language'] ?? 'zh') ? 'zh' : 'en';

    if (ASSETS[url.pathname]) {
      const [file, type] = ASSETS[url.pathname];
      return send(200, readFileSync(new URL(file, files)), { 'content-type': `${type}; charset=utf-8`, 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin' });
    }
    if (url.pathname === '/avatar.png') return send(200, await QRCode.toBuffer('avatar', { margin: 0, color: { dark: '#5b8f74', light: '#cfe5d8' } }), { 'content-type': 'image/png' });
    if (url.pathname.startsWith('/api/tickets')) {
      const result = await api(request, url, send);
      if (!result?.stream) return;
      const { stream: ticket, cors } = result;
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', ...cors });
      const tell = () => {
        response.write(`event: state\ndata: ${JSON.stringify(ticket.see())}\n\n`);
        if (FINAL.includes(ticket.state)) response.end();
      };
      ticket.listen(tell);
      response.on('close', () => ticket.waiters.delete(tell));
      return tell();
    }
    if (url.pathname === '/oauth2/authorize') {
      const cookie = cookieOf(request) ?? id();
      const ticket = open(Object.fromEntries(url.searchParams), { cookie, renewals: 0 });
      const agent = request.headers['user-agent'];
      return html(200, render('login.html', {
        lang, ticket: ticket.id, code_url: `/api/tickets/${ticket.id}/code`, site: { name: saoma.name, operator: '', contact: '', privacy_url: '', ...saoma.site }, site_host: 'blog.example.com', site_logo: saoma.logo,
        on_phone: /Mobi/.test(agent), in_wechat: /MicroMessenger/i.test(agent), expires_in: life, has_code: saoma.hasCode,
        miniprogram: saoma.miniprogram,
        cancel_url: `${ticket.request.redirect_uri}?error=access_denied`,
      }), { 'set-cookie': `saoma=${cookie}; HttpOnly; SameSite=Lax; Path=/` });
    }
    // Any other page of saoma's, with the values that a test has laid ready.
    if (saoma.pages?.[url.pathname]) {
      const { template, values } = saoma.pages[url.pathname];
      return html(200, render(template, { lang, ...values }));
    }
    html(404, 'not found');
  });

  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url, saoma.origin);
    saoma.calls.push(`WS ${url.pathname}`);
    const { origin } = request.headers;
    const ticket = saoma.find(url.pathname.split('/')[3]);
    const refuse = (status) => socket.end(`HTTP/1.1 ${status} No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    if (saoma.refuse.ws) return refuse(502);
    if (origin !== saoma.origin && !saoma.origins.includes(origin)) return refuse(403);
    if (!mayWatch(ticket, request)) return refuse(404);
    sockets.handleUpgrade(request, socket, head, (wire) => {
      ticket.wire?.close(4001);
      ticket.wire = wire;
      const tell = () => {
        const frame = JSON.stringify(ticket.see());
        saoma.frames.push(frame);
        wire.send(frame);
        if (FINAL.includes(ticket.state)) wire.close(1000);
      };
      if (saoma.refuse.frames) return;
      ticket.listen(tell);
      wire.on('close', () => ticket.waiters.delete(tell));
      tell();
    });
  });

  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  saoma.port = server.address().port;
  saoma.origin = `http://saoma.localhost:${saoma.port}`;
  saoma.authorize = (more = {}) =>
    `${saoma.origin}/oauth2/authorize?${new URLSearchParams({ response_type: 'code', client_id: 'blog', redirect_uri: more.redirect_uri ?? `${saoma.origin}/callback`, state: 'S', code_challenge: 'c', code_challenge_method: 'S256', ...more })}`;
  saoma.close = () => {
    for (const wire of sockets.clients) wire.terminate();
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return saoma;
}
