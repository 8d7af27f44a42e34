// The server that these tests play speaks as docs/protocol.golden.json does, which saoma's own tests and the mini program's read too.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startSaoma } from './support/saoma.js';

const golden = JSON.parse(readFileSync(new URL('../../docs/protocol.golden.json', import.meta.url), 'utf8'));
let saoma;

before(async () => {
  saoma = await startSaoma({ origins: ['https://blog.example.com'] });
});
after(() => saoma.close());

// Two values of one shape: the same names, and the same kind of thing under each.
const shape = (value) => (value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, shape(inner)])) : typeof value);
const alike = (value, name) => assert.deepEqual(shape(value), shape(golden[name]), name);

const call = async (path, { origin = 'https://blog.example.com', body, cookie } = {}) => {
  const answer = await fetch(`http://127.0.0.1:${saoma.port}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { origin, ...(cookie && { cookie }), ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  return answer.json();
};
const open = () => call('/api/tickets', { body: { client_id: 'blog', redirect_uri: 'https://blog.example.com/callback', state: 'S', code_challenge: 'c', code_challenge_method: 'S256' } });

test('an embedded page’s ticket, from opening to claiming', async () => {
  const opened = await open();
  alike(opened, 'page.opened');
  const see = () => call(opened.poll_url);
  const ticket = saoma.last;
  alike(await see(), 'page.waiting');
  alike(await call(`${opened.poll_url}/digits`, { body: { key: opened.key } }), 'page.digits');
  ticket.scan();
  alike(await see(), 'page.scanned');
  ticket.scan({ match: '42' });
  alike(await see(), 'page.scanned.match');
  ticket.approve();
  alike(await see(), 'page.approved');
  alike(await call(`${opened.poll_url}/claim`, { body: { key: opened.key } }), 'page.claimed');
});

test('denied and expired', async () => {
  const denied = await open();
  saoma.last.deny();
  alike(await call(denied.poll_url), 'page.denied');
  alike(await call(`${denied.poll_url}/claim`, { body: { key: denied.key } }), 'page.claimed.denied');
  const expired = await open();
  saoma.last.expire();
  alike(await call(expired.poll_url), 'page.expired');
});

test('a hosted page’s ticket shows who scans, and its claim says only where to go', async () => {
  const page = await fetch(`http://127.0.0.1:${saoma.port}/oauth2/authorize?redirect_uri=https://blog.example.com/callback&state=S`);
  const [cookie] = page.headers.get('set-cookie').split(';');
  const ticket = saoma.last;
  ticket.scan();
  alike(await call(`/api/tickets/${ticket.id}`, { cookie, origin: saoma.origin }), 'page.scanned.hosted');
  ticket.approve();
  alike(await call(`/api/tickets/${ticket.id}/claim`, { cookie, origin: saoma.origin, body: {} }), 'page.claimed.hosted');
});
