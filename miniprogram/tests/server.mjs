// A server that speaks /api/phone as the contract says, with tickets that a test lays out. It knows its people by js_code.
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

export const golden = JSON.parse(readFileSync(new URL('../../docs/protocol.golden.json', import.meta.url), 'utf8'))

const TITLES = {
  no_such_ticket: 404, ticket_expired: 410, taken_by_another_phone: 409, already_decided: 409, js_code_refused: 422,
  blocked_by_wechat: 403, too_many_requests: 429, wechat_unreachable: 502, match_required: 400, wrong_match: 403,
  refused: 403, owner_asked: 403, not_admitted: 403, invalid_request: 400, unauthorized: 401, update_required: 426,
}
const LIVE = new Set([1047, 1011, 1025, 1124, 'camera'])
const LONG = new Set([1048, 1012, 1031, 1125])
const ROBOTS = new Set([1129, 1030, 1101, 1203])

class Problem extends Error {
  constructor(code, extra = {}) {
    super(code)
    Object.assign(this, { code, status: extra.status ?? TITLES[code], ...extra })
  }
}

export class PhoneServer {
  tickets = new Map()
  sessions = new Map()
  logins = new Map()
  attempts = []
  consents = new Map()
  deleted = new Set()
  /** Who owns the server, who waits for their yes, and what they said. */
  owner
  asks = []
  answers = []
  /** Thrown by the next scan, and by the next decision, instead of an answer. */
  nextScan
  nextDecision
  /** Seconds added to the clock. */
  ahead = 0
  #usedCodes = new Set()

  static async start() {
    const server = new PhoneServer()
    server.http = createServer((request, response) => void server.#serve(request, response))
    await new Promise((resolve) => server.http.listen(0, '127.0.0.1', resolve))
    server.url = `http://127.0.0.1:${server.http.address().port}`
    return server
  }

  stop() {
    this.http.closeAllConnections()
    return new Promise((resolve) => this.http.close(resolve))
  }

  now() {
    return Date.now() / 1000 + this.ahead
  }

  /** A page opened a ticket. What is given overrules the ordinary answer to its scan. */
  ticket(ask = {}) {
    const scene = [...randomBytes(22)].map((byte) => '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'[byte % 62]).join('')
    const ticket = { scene, digits: String(10000000 + Math.floor(Math.random() * 89999999)), state: 'waiting', opened: this.now(), ends: this.now() + 120, ask }
    this.tickets.set(scene, ticket)
    return ticket
  }

  /** Where a person is signed in. */
  login(person, { site = { id: 'blog', name: 'My blog', host: 'blog.example.com' }, browser = { name: 'Firefox 140', os: 'Windows', region: '浙江杭州' } } = {}) {
    const id = randomBytes(8).toString('hex')
    this.logins.set(id, { person, id, site, browser, since: 1795000000, last_seen: 1795086400 })
    return id
  }

  async #serve(request, response) {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const send = (status, body) => {
      response.writeHead(status, body === undefined ? {} : { 'content-type': status < 400 ? 'application/json' : 'application/problem+json', ...(body.after && { 'Retry-After': body.after }) })
      response.end(body === undefined ? '' : JSON.stringify(body))
    }
    try {
      const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {}
      const path = request.url.replace('/api/phone', '').split('/').filter(Boolean)
      const token = request.headers.authorization?.replace('Bearer ', '')
      const answer = this.#answer(request.method, path, body, token)
      send(answer === undefined ? 204 : 200, answer)
    } catch (error) {
      if (!(error instanceof Problem)) return send(500, { code: 'internal', title: String(error) })
      const zh = request.headers['accept-language']?.startsWith('zh')
      const detail = typeof error.detail === 'function' ? error.detail(zh) : error.detail
      send(error.status, { code: error.code, title: error.code, detail: detail ?? `${zh ? '服务器说' : 'the server says'}: ${error.code}`, after: error.after })
    }
  }

  #answer(method, [what, id, verb], body, token) {
    const call = `${method} ${what}${verb ? ` ${verb}` : ''}`
    switch (call) {
      case 'POST tickets scan': return this.#scan(this.tickets.get(id), body, body.entry)
      case 'POST codes scan': return this.#scan([...this.tickets.values()].find((t) => t.digits === id), body, 'digits')
      case 'POST tickets approve': return this.#decide(id, token, body, true)
      case 'POST tickets deny': return this.#decide(id, token, body, false)
      case 'POST session': {
        const person = this.#who(body)
        const token = randomBytes(16).toString('hex')
        this.sessions.set(token, person)
        return { token, expires_in: 86400, person: this.#person(person), ...(person === this.owner && { asks: this.asks.length }) }
      }
    }
    const person = this.sessions.get(token)
    if (!person) throw new Problem('unauthorized')
    switch (call) {
      case 'DELETE session': return void this.sessions.delete(token)
      case 'GET logins': return { logins: [...this.logins.values()].filter((login) => login.person === person).map(({ person: _, ...login }) => login) }
      case 'DELETE logins':
        if (id !== undefined) {
          if (this.logins.get(id)?.person !== person) throw new Problem('no_such_login', { status: 404 })
          this.logins.get(id).notMe = body.not_me
          return void this.logins.delete(id)
        }
        if (this.#who(body) !== person) throw new Problem('js_code_refused')
        for (const login of this.logins.values()) if (login.person === person) this.logins.delete(login.id)
        return undefined
      case 'GET attempts': return { attempts: this.attempts.filter((attempt) => attempt.person === person).map(({ person: _, ...attempt }) => attempt) }
      case 'GET consents': return { consents: this.consents.get(person) ?? [] }
      case 'DELETE consents': return void this.consents.set(person, (this.consents.get(person) ?? []).filter((consent) => consent.site.id !== id))
      case 'GET asks':
        if (person !== this.owner) throw new Problem('not_found', { status: 404 })
        return { asks: this.asks }
      case `POST asks ${verb}`: {
        if (person !== this.owner || this.#who(body) !== person) throw new Problem('not_found', { status: 404 })
        this.answers.push({ person: id, site: verb, admit: body.admit })
        this.asks = this.asks.filter((ask) => ask.person.name !== id || ask.site.id !== verb)
        return undefined
      }
      case 'GET me': return { person: this.#person(person), logins: [...this.logins.values()].filter((login) => login.person === person).length }
      case 'PUT profile': this.profile = body; return { nickname: body.nickname ?? null, avatar: body.avatar ? '/avatars/1.png' : null }
      case 'DELETE me':
        if (this.#who(body) !== person) throw new Problem('js_code_refused')
        this.sessions.delete(token)
        return void this.deleted.add(person)
    }
    throw new Problem('not_found', { status: 404 })
  }

  /** js-anna-3 is anna's; each is good once, as WeChat has it. */
  #who({ js_code }) {
    const person = /^js-(\w+)-\d+$/.exec(js_code ?? '')?.[1]
    if (!person) throw new Problem('invalid_request')
    if (this.#usedCodes.has(js_code)) throw new Problem('js_code_refused')
    this.#usedCodes.add(js_code)
    return person
  }

  #person() {
    return { nickname: null, avatar: null }
  }

  #trouble(next) {
    const problem = this[next]
    this[next] = undefined
    if (problem) throw problem
  }

  #scan(ticket, body, entry) {
    this.#trouble('nextScan')
    if (body.protocol !== 1) throw new Problem('update_required')
    if (!ticket || ROBOTS.has(entry)) throw new Problem('no_such_ticket')
    const person = this.#who(body)
    if (this.now() >= ticket.ends) throw new Problem('ticket_expired')
    if (ticket.state === 'approved' || ticket.state === 'denied') throw new Problem(ticket.person === person ? 'already_decided' : 'taken_by_another_phone')
    if (ticket.state === 'scanned' && ticket.person !== person) throw new Problem('taken_by_another_phone')
    const live = LIVE.has(entry) || entry === 'digits'
    if (ticket.state === 'waiting') ticket.ends = this.now() + 120
    Object.assign(ticket, { state: 'scanned', person, token: randomBytes(16).toString('hex') })
    ticket.entries = [...(ticket.entries ?? []), entry]
    const why = live ? [] : [LONG.has(entry) ? 'long_press' : 'album']
    ticket.answer = {
      ...golden['phone.scanned'],
      scene: ticket.scene, token: ticket.token,
      browser: { name: 'Chrome 152', os: 'macOS', region: '上海', known: true, same_network: true },
      kind: 'page', age: Math.round(this.now() - ticket.opened), expires_in: Math.round(ticket.ends - this.now()),
      risk: live ? 'low' : 'raised', why, ask: live ? 'tap' : 'match', scopes: ['openid', 'profile', 'email'],
      person: { nickname: null, avatar: null },
      ...ticket.ask,
    }
    if (ticket.answer.ask === 'match') ticket.match ??= '42'
    return ticket.answer
  }

  #decide(scene, token, body, yes) {
    this.#trouble('nextDecision')
    const ticket = this.tickets.get(scene)
    if (!ticket || !token || ticket.token !== token) throw new Problem('unauthorized')
    const verdict = yes ? 'approved' : 'denied'
    if (ticket.state === verdict) return { state: verdict }
    if (ticket.state !== 'scanned') throw new Problem('already_decided')
    if (this.now() >= ticket.ends) throw new Problem('ticket_expired')
    if (yes && ticket.answer.ask === 'refuse') throw new Problem('refused')
    if (yes && ticket.answer.admission === 'ask') {
      ticket.state = 'denied'
      throw new Problem('owner_asked', { detail: (zh) => (zh ? '你的用户名是 uxwwzh2z8p7。把它告诉站长；站长同意以后，再登录一次。' : 'Your user name is uxwwzh2z8p7. Tell the owner; once they agree, sign in again.') })
    }
    if (yes && ticket.match) {
      if (!body.match) throw new Problem('match_required')
      if (body.match !== ticket.match) {
        ticket.state = 'denied'
        throw new Problem('wrong_match')
      }
    }
    ticket.state = verdict
    ticket.decision = body
    return { state: verdict }
  }
}

export { Problem }
