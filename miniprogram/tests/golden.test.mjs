// The server that these tests play speaks as docs/protocol.golden.json does, which saoma's own tests and the page's read too.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { words } from '../app/lib/words.ts'
import { PhoneServer, golden } from './server.mjs'

let server
before(async () => { server = await PhoneServer.start() })
after(() => server.stop())

// Two values of one shape: the same names, and the same kind of thing under each; of a list its first.
const shape = (value) => (Array.isArray(value) ? value.slice(0, 1).map(shape) : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, shape(inner)])) : typeof value)
const alike = (value, name) => assert.deepEqual(shape(value), shape(golden[name]), name)

let codes = 0
const call = async (method, path, body, token) => {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  const answer = await fetch(`${server.url}/api/phone${path}`, { method, headers, body: body && JSON.stringify(body) })
  return answer.json()
}
const scan = ({ scene }) => call('POST', `/tickets/${scene}/scan`, { js_code: `js-anna-${++codes}`, entry: 1047, protocol: 1 })

test('a ticket, from the scan to the decision', async () => {
  const [yes, no] = [server.ticket({ person: null, why: ['new_browser'] }), server.ticket()]
  const asked = await scan(yes)
  alike({ ...asked, browser: { ...asked.browser, region: null } }, 'phone.scanned')
  alike(await call('POST', `/tickets/${yes.scene}/approve`, {}, asked.token), 'phone.approved')
  alike(await call('POST', `/tickets/${no.scene}/deny`, {}, (await scan(no)).token), 'phone.denied')
})

test('every reason that the server has is a sentence in both languages, and there is no other', () => {
  for (const t of Object.values(words)) assert.deepEqual(Object.keys(t.login.why).sort(), [...golden['phone.why']].sort(), t.language)
})

test('where pages send people with their digits, the home page has a card of that name', () => {
  for (const name of ['digits', 'device']) {
    const page = readFileSync(new URL(`../../server/templates/${name}.html`, import.meta.url), 'utf8')
    for (const t of Object.values(words)) assert.ok(page.includes(`“${t.home.digits}”`), `${name}: ${t.home.digits}`)
  }
})

test('a site that asks its owner first', async () => {
  const { site, admission, say } = golden['phone.scanned.ask']
  const asked = await scan(server.ticket({ site, admission, say }))
  assert.deepEqual([asked.site, asked.admission, asked.say], [site, admission, say])
  const told = await call('POST', `/tickets/${asked.scene}/approve`, {}, asked.token)
  assert.equal(told.code, golden['problem.owner_asked'].code)
})

test('the pages behind it', async () => {
  server.login('anna')
  server.owner = 'anna'
  server.asks = golden['phone.asks'].asks
  const { asks, ...session } = await call('POST', '/session', { js_code: `js-anna-${++codes}` })
  assert.equal(asks, 1, 'told to owners alone')
  alike(session, 'phone.session')
  alike(await call('GET', '/asks', undefined, session.token), 'phone.asks')
  const { logins } = await call('GET', '/logins', undefined, session.token)
  const [{ site: { id: _, ...site }, browser, ...login }] = logins
  alike({ logins: [{ ...login, site, browser: { ...browser, region: null } }] }, 'phone.logins')
})
