// The rules of the phone without a page: how it was opened, what a failure means, what may follow what.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Api } from '../app/lib/api.ts'
import { Arrivals, digitsOf, ticketOf, ticketOfCode } from '../app/lib/entry.ts'
import { Failure, ofAnswer, ofLogin, ofRequest, ofScanner } from '../app/lib/failure.ts'
import { LoginFlow } from '../app/lib/login.ts'
import { saoma } from '../app/lib/saoma.ts'
import { Session } from '../app/lib/session.ts'
import { askLines, browserName, failureLines, left } from '../app/lib/show.ts'
import { fill, languageOf, words } from '../app/lib/words.ts'
import { golden } from './server.mjs'

const TICKET = 'abcdefghij0123456789AB'
const OTHER = 'ABCDEFGHIJ9876543210zz'
/** Every problem that the server has for a phone, by its status. */
const PROBLEMS = Object.entries(golden['phone.problems']).flatMap(([status, codes]) => codes.map((code) => [code, Number(status)]))
/** The failure that such an answer is; with no code, one of something that stands in saoma's place. */
const answered = (status, code) => ofAnswer({ statusCode: status, data: code ? { code } : '<html>' })
const at = (scene, ticket) => ({ scene, query: ticket === undefined ? {} : { scene: ticket } })

describe('how the mini program was opened', () => {
  test('a cold start by a code, taken once', () => {
    const arrivals = new Arrivals()
    arrivals.arrive(at(1047, TICKET))
    arrivals.arrive(at(1047, TICKET)) // onShow follows onLaunch with the same options
    assert.deepEqual(arrivals.take(), { ticket: TICKET, entry: 1047 })
    assert.equal(arrivals.take(), undefined)
  })

  test('every warm way back keeps the number of the arrival', () => {
    for (const warm of [1001, 1038, 1041, 1089, 1090, 1104, 1131, 1187]) {
      const arrivals = new Arrivals()
      arrivals.arrive(at(1048, TICKET))
      arrivals.take()
      arrivals.arrive(at(warm, TICKET))
      assert.equal(arrivals.take(), undefined)
      assert.equal(arrivals.entryOf(TICKET), 1048)
      arrivals.arrive(at(warm, OTHER))
      assert.deepEqual(arrivals.take(), { ticket: OTHER, entry: 1048 }, 'a ticket never seen gets the cold start’s')
    }
  })

  test('Android repeats the first number after the Home key: nothing new has arrived', () => {
    const arrivals = new Arrivals()
    arrivals.arrive(at(1047, TICKET))
    arrivals.take()
    arrivals.arrive(at(1047, TICKET))
    assert.equal(arrivals.take(), undefined)
  })

  test('another code, and the same code in another way, are arrivals of their own', () => {
    const arrivals = new Arrivals()
    arrivals.arrive(at(1047, TICKET))
    arrivals.take()
    arrivals.arrive(at(1048, OTHER))
    assert.deepEqual(arrivals.take(), { ticket: OTHER, entry: 1048 })
    arrivals.arrive(at(1048, TICKET))
    assert.deepEqual(arrivals.take(), { ticket: TICKET, entry: 1048 })
  })

  test('our scan button is not undone by the options that WeChat still repeats', () => {
    const arrivals = new Arrivals()
    arrivals.arrive(at(1048, TICKET))
    arrivals.take()
    arrivals.camera(OTHER)
    arrivals.arrive(at(1048, TICKET))
    assert.deepEqual(arrivals.take(), { ticket: OTHER, entry: 'camera' })
  })

  test('a robot is one until a person comes; the recents list makes nobody a person', () => {
    for (const scene of [1129, 1030, 1101, 1203]) {
      const arrivals = new Arrivals()
      arrivals.arrive(at(scene, TICKET))
      assert.equal(arrivals.robot, true)
      arrivals.arrive(at(1089, TICKET))
      assert.equal(arrivals.robot, true)
      arrivals.arrive(at(1047, TICKET))
      assert.equal(arrivals.robot, false)
    }
  })

  test('a ticket in a query', () => {
    assert.equal(ticketOf(TICKET), TICKET)
    assert.equal(ticketOf('%61bc'), 'abc')
    for (const bad of [undefined, 7, '', '%', '%zz', '中文', 'a b', 'x'.repeat(33), 'a/../b%00', '%0a']) assert.equal(ticketOf(bad), undefined, String(bad))
  })

  test('a ticket in what the camera read', () => {
    const found = [
      { path: `pages/login/login?scene=${TICKET}` }, { path: `/pages/login/login?x=1&scene=${TICKET}#y` },
      { path: `pages/login/login?scene=%61${TICKET.slice(1)}` }, { result: `http://127.0.0.1:9100/phone?scene=${TICKET}` },
      { path: '', result: `weixin://pretend/wx1/pages/login/login?scene=${TICKET}` },
    ]
    for (const code of found) assert.equal(ticketOfCode(code), TICKET, JSON.stringify(code))
    for (const code of [{}, { result: '' }, { result: TICKET }, { result: 'https://example.org/?scenery=1' }, { path: 'pages/home/home' }, { path: 'a?scene=' }]) {
      assert.equal(ticketOfCode(code), undefined, JSON.stringify(code))
    }
  })

  test('digits as people type them', () => {
    for (const typed of ['12345678', '1234 5678', ' 1234-5678 ']) assert.equal(digitsOf(typed), '12345678')
    for (const typed of ['', '1234567', '123456789', '1234567a', '１２３４５６７８']) assert.equal(digitsOf(typed), undefined)
  })
})

describe('failures', () => {
  test('what wx.request says, on both systems', () => {
    const texts = {
      domain_not_listed: ['request:fail url not in domain list', 'request:fail 小程序要求的 request 合法域名不包含'],
      tls: ['request:fail ssl hand shake error', 'request:fail errcode:-202 cronet error code:-202 error msg:net::ERR_CERT_AUTHORITY_INVALID', 'request:fail -200:net::ERR_CERT_COMMON_NAME_INVALID', 'request:fail 此服务器的证书无效。'],
      offline: ['request:fail -106:net::ERR_INTERNET_DISCONNECTED', 'request:fail 似乎已断开与互联网的连接。', 'request:fail The Internet connection appears to be offline.'],
      timeout: ['request:fail timeout', 'request:fail -118:net::ERR_CONNECTION_TIMED_OUT', 'request:fail 请求超时。', 'request:fail The request timed out.', 'request:fail socket time out timeout:60000'],
      interrupted: ['request:fail interrupted', 'request:fail abort'],
      unreachable: ['request:fail -105:net::ERR_NAME_NOT_RESOLVED', 'request:fail -102:net::ERR_CONNECTION_REFUSED', 'request:fail ', ''],
      privacy_refused: ['request:fail privacy permission is not authorized'],
    }
    for (const [code, all] of Object.entries(texts)) for (const errMsg of all) assert.equal(ofRequest({ errMsg }).code, code, errMsg)
    assert.equal(ofRequest({ errno: 600002, errMsg: 'request:fail' }).code, 'domain_not_listed')
    assert.equal(ofRequest({ errno: 600003, errMsg: 'request:fail' }).code, 'interrupted')
  })

  test('wx.login and wx.scanCode', () => {
    assert.equal(ofLogin({ errMsg: 'login:fail system error' }).code, 'wx_login_failed')
    assert.equal(ofLogin({ errMsg: 'login:fail timeout' }).code, 'wechat_timeout')
    assert.equal(ofScanner({ errMsg: 'scanCode:fail cancel' }), undefined)
    assert.equal(ofScanner({ errMsg: 'scanCode:fail auth deny' }).code, 'camera_refused')
    assert.equal(ofScanner({ errMsg: 'scanCode:fail' }).code, 'scanner_failed')
  })

  test('what the server says, and what only stands in its place', () => {
    assert.equal(ofAnswer({ statusCode: 409, data: { code: 'taken_by_another_phone' } }).code, 'taken_by_another_phone')
    assert.equal(ofAnswer({ statusCode: 429, data: { code: 'too_many_requests' }, header: { 'retry-after': '7' } }).after, 7)
    assert.equal(ofAnswer({ statusCode: 429, data: '', header: { 'Retry-After': 'soon' } }).after, 0)
    assert.equal(ofAnswer({ statusCode: 401, data: '' }).code, 'unauthorized')
    assert.equal(ofAnswer({ statusCode: 426, data: null }).code, 'update_required')
    for (const data of ['<html>blocked</html>', null, [], {}]) assert.equal(ofAnswer({ statusCode: 200, data }).code, 'not_saoma')
  })

  test('every code of the contract has its own sentence in both languages, with nothing left unfilled', () => {
    // No call of the phone is answered so: the first is of pages that renew a code, the second of bodies that are no JSON.
    const never = ['already_scanned', 'unsupported_media_type']
    const contract = PROBLEMS.map(([code]) => code).filter((code) => !never.includes(code))
    const ours = [
      'domain_not_listed', 'tls', 'timeout', 'offline', 'unreachable', 'interrupted', 'privacy_refused', 'wx_login_failed', 'wechat_timeout', 'no_answer',
      'browse_only', 'camera_refused', 'scanner_failed', 'not_our_code', 'wrong_digits', 'not_saoma', 'share_failed', 'unexpected',
    ]
    for (const t of Object.values(words)) {
      assert.deepEqual(Object.keys(t.failures).sort(), [...contract, ...ours].sort(), t.language)
      const said = new Set()
      for (const code of [...contract, ...ours]) {
        const { title, say, owner } = failureLines(new Failure(code), t, 'https://login.example.com')
        assert.doesNotMatch(title + say + owner, /\{/)
        assert.ok(!said.has(say) || ['js_code_refused'].includes(code), `${code} says what another says`)
        said.add(say)
      }
      for (const code of ['domain_not_listed', 'tls', 'unreachable', 'not_saoma']) {
        assert.match(failureLines(new Failure(code), t, 'https://login.example.com').owner, /login\.example\.com/)
      }
      assert.equal(failureLines(new Failure('new_one', 'as the server says'), t, '').say, 'as the server says')
      assert.equal(failureLines(new Failure('new_one'), t, '').say, t.failureOther.say)
    }
  })

  test('both languages have the same words', () => {
    const shape = (value) => (typeof value === 'object' ? Object.fromEntries(Object.entries(value).sort().map(([key, inner]) => [key, shape(inner)])) : typeof value)
    const strip = ({ failures, ...rest }) => ({ ...shape(rest), failures: Object.fromEntries(Object.entries(failures).sort().map(([code, said]) => [code, Object.keys(said).sort()])) })
    assert.deepEqual(strip(words.en), strip(words.zh))
    const holes = (t) => [...JSON.stringify(t).matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort()
    assert.deepEqual(holes(words.en), holes(words.zh))
  })
})

const ASK = {
  scene: TICKET, token: 'secret', site: { name: 'My blog', host: 'blog.example.com', logo: '/logos/blog/1', operator: null, contact: null, privacy_url: null }, page: { host: 'blog.example.com' },
  browser: { name: 'Chrome', os: 'macOS', region: null, known: true, same_network: null }, kind: 'page', age: 3, expires_in: 120,
  risk: 'low', why: [], ask: 'tap', scopes: ['openid', 'profile'], person: null,
}

/** A flow over an api whose answers the test gives. */
function flow(answers, arrivals = {}) {
  const called = []
  const steps = []
  let now = 0
  const api = Object.fromEntries(['scan', 'scanDigits', 'approve', 'deny'].map((name) => [name, async (...args) => {
    called.push([name, ...args.map((arg) => arg?.token ?? arg)])
    const answer = answers[name]
    const given = Array.isArray(answer) ? answer.shift() : answer
    if (given instanceof Error) throw given
    return given
  }]))
  const it = new LoginFlow(api, { robot: false, browseOnly: false, ...arrivals }, () => now, (step) => steps.push(step.is))
  return { it, called, steps, forward: (ms) => { now += ms; it.tick() } }
}

describe('one sign-in', () => {
  const arrival = { ticket: TICKET, entry: 1047 }

  test('looks, asks, and decides only when told', async () => {
    const { it, called, steps, forward } = flow({ scan: ASK })
    await it.open(arrival)
    forward(60_000)
    assert.deepEqual(steps, ['looking', 'asking'])
    await it.approve({ scopes: [] })
    assert.deepEqual(called, [['scan', TICKET, 1047], ['approve', 'secret', { scopes: [] }]])
    assert.deepEqual(steps, ['looking', 'asking', 'sending', 'approved'])
  })

  test('a second tap while the first is on its way, and any tap after the end, do nothing', async () => {
    const { it, called } = flow({ scan: ASK })
    await it.open(arrival)
    await Promise.all([it.approve({}), it.approve({}), it.deny()])
    await it.deny()
    await it.approve({})
    assert.equal(called.length, 2)
  })

  test('nothing can be approved that is to be refused; it can be denied', async () => {
    const { it, called, steps } = flow({ scan: { ...ASK, ask: 'refuse' } })
    await it.open(arrival)
    await it.approve({})
    assert.equal(called.length, 1)
    await it.deny()
    assert.equal(steps.at(-1), 'denied')
  })

  test('a number of two digits, or nothing is sent', async () => {
    const { it, called } = flow({ scan: { ...ASK, ask: 'match' } })
    await it.open(arrival)
    for (const match of [undefined, '', '4', '423', 'ab', '４２']) {
      await it.approve(match === undefined ? {} : { match })
      assert.equal(it.step.trouble.code, 'match_required')
    }
    assert.equal(called.length, 1)
    await it.approve({ match: '07' })
    assert.equal(it.step.is, 'approved')
  })

  test('what ends a question, what leaves it standing, what a new scan may mend', async () => {
    const after = async (failure) => {
      const { it } = flow({ scan: ASK, approve: failure })
      await it.open(arrival)
      await it.approve({})
      return it.step.is === 'failed' ? `failed${it.step.again ? ', again' : ''}` : it.step.is
    }
    for (const code of ['offline', 'timeout', 'unreachable', 'interrupted']) assert.equal(await after(new Failure(code)), 'asking', code)
    const ofTheMoment = (status) => [408, 429].includes(status) || status >= 500
    for (const [code, status] of PROBLEMS) {
      const stands = ofTheMoment(status) || ['match_required', 'invalid_request'].includes(code)
      const again = ['unauthorized', 'js_code_refused'].includes(code)
      assert.equal(await after(answered(status, code)), stands ? 'asking' : again ? 'failed, again' : 'failed', code)
    }
    for (const status of [408, 429, 500, 502, 503, 504, 599]) {
      assert.equal(await after(answered(status, 'never_heard_of')), 'asking', `${status}`)
      assert.equal(await after(answered(status)), 'asking', `${status} of a proxy`)
    }
    assert.equal(await after(answered(403, 'never_heard_of')), 'failed')
  })

  test('a server that is busy or broken at the scan may be asked again', async () => {
    for (const [code, status] of [...PROBLEMS, [undefined, 408], [undefined, 429], [undefined, 504]]) {
      const { it } = flow({ scan: answered(status, code) })
      await it.open(arrival)
      const again = [408, 429].includes(status) || status >= 500 || ['unauthorized', 'js_code_refused'].includes(code)
      assert.equal(it.step.again, again, `${status} ${code}`)
    }
  })

  test('a yes whose answer was lost is no longer void when the countdown ends: it can be asked for again, and nothing else', async () => {
    for (const lost of [new Failure('timeout'), new Failure('offline'), answered(503, 'unavailable'), answered(504)]) {
      const { it, called, forward } = flow({ scan: ASK, approve: [lost, lost, undefined] })
      await it.open(arrival)
      forward(119_000)
      await it.approve({ scopes: [] })
      assert.deepEqual([it.step.is, it.step.sent], ['asking', 'yes'])
      forward(60_000)
      assert.equal(it.step.is, 'asking', 'the server may have taken it in time')
      await it.deny()
      assert.equal(called.length, 2, 'a no would only be told that it comes too late')
      await it.approve({ scopes: [] })
      assert.equal(it.step.sent, 'yes')
      forward(59_000)
      await it.approve({ scopes: [] })
      assert.equal(it.step.is, 'approved')
    }
  })

  test('a no whose answer was lost can only be said again', async () => {
    const { it, called } = flow({ scan: ASK, deny: [new Failure('timeout'), undefined] })
    await it.open(arrival)
    await it.deny()
    await it.approve({})
    assert.deepEqual([it.step.sent, called.length], ['no', 2])
    await it.deny()
    assert.equal(it.step.is, 'denied')
  })

  test('where no answer comes for two minutes, the person is sent to look for themselves', async () => {
    const { it, forward } = flow({ scan: ASK, approve: new Failure('timeout') })
    await it.open(arrival)
    await it.approve({})
    for (let again = 0; again < 4; again++) {
      forward(29_000)
      await it.approve({})
    }
    assert.equal(it.step.is, 'asking')
    forward(4_000)
    assert.deepEqual([it.step.failure.code, it.step.again], ['no_answer', false])
  })

  test('after the time of a decision the server no longer knows it: that is no verdict on a lost yes', async () => {
    const ends = async (code) => {
      const { it } = flow({ scan: ASK, approve: [new Failure('timeout'), new Failure(code)] })
      await it.open(arrival)
      await it.approve({})
      await it.approve({})
      return it.step.failure.code
    }
    assert.equal(await ends('no_such_ticket'), 'no_answer')
    for (const code of ['ticket_expired', 'already_decided', 'owner_asked']) assert.equal(await ends(code), code)
  })

  test('what was certainly not taken leaves both answers open, and the countdown', async () => {
    for (const failure of [answered(429, 'too_many_requests'), answered(408, 'request_timeout'), answered(400, 'invalid_request')]) {
      const { it, forward } = flow({ scan: ASK, approve: failure })
      await it.open(arrival)
      await it.approve({})
      assert.equal(it.step.sent, undefined)
      forward(120_000)
      assert.equal(it.step.failure.code, 'ticket_expired')
    }
  })

  test('a scan that failed on the way is made again when the network is back; one that was refused is not', async () => {
    for (const [code, times] of [['offline', 2], ['timeout', 2], ['interrupted', 2], ['wechat_timeout', 2], ['ticket_expired', 1], ['blocked_by_wechat', 1], ['js_code_refused', 1]]) {
      const { it, called } = flow({ scan: [new Failure(code), ASK] })
      await it.open(arrival)
      await it.networkIsBack()
      assert.equal(called.length, times, code)
    }
  })

  test('when the network is back a decision is never repeated by itself', async () => {
    const { it, called } = flow({ scan: ASK, approve: new Failure('offline') })
    await it.open(arrival)
    await it.approve({})
    await it.networkIsBack()
    assert.equal(called.filter(([name]) => name === 'approve').length, 1)
    assert.deepEqual([it.step.is, it.step.trouble, it.step.sent], ['asking', undefined, 'yes'])
  })

  test('its time runs out on the phone too', async () => {
    const { it, forward, called } = flow({ scan: ASK })
    await it.open(arrival)
    forward(119_999)
    assert.equal(it.step.is, 'asking')
    forward(1)
    assert.equal(it.step.failure.code, 'ticket_expired')
    await it.approve({})
    assert.equal(called.length, 1)
  })

  test('the answer to an older scan never shows over a newer one', async () => {
    let answer
    const { it } = flow({ scan: [new Promise((resolve) => { answer = resolve }), { ...ASK, scene: OTHER }] })
    const first = it.open(arrival)
    await it.open({ ticket: OTHER, entry: 1047 })
    answer(ASK)
    await first
    assert.equal(it.step.ask.scene, OTHER)
  })

  test('digits that lead nowhere are looked at again; a code that leads nowhere is scanned anew', async () => {
    const { it } = flow({ scan: new Failure('no_such_ticket'), scanDigits: new Failure('no_such_ticket') })
    await it.open({ digits: '12345678' })
    assert.equal(it.step.failure.code, 'wrong_digits')
    await it.open(arrival)
    assert.equal(it.step.failure.code, 'no_such_ticket')
  })

  test('robots and the Moments preview ask nothing', async () => {
    for (const [arrivals, is] of [[{ robot: true }, 'robot'], [{ browseOnly: true }, 'failed']]) {
      const { it, called } = flow({ scan: ASK }, arrivals)
      await it.open(arrival)
      assert.equal(it.step.is, is)
      assert.deepEqual(called, [])
    }
  })
})

describe('what the page shows', () => {
  const t = words.en
  test('signs that warn come first; good signs are plain lines', () => {
    const low = askLines(ASK, t, 'https://login.example.com')
    assert.deepEqual([low.warnings, low.notes, low.raised, low.canRemember], [[], [], false, true])
    assert.equal(low.siteHost, '', 'said once where page and site are one host')
    assert.equal(low.logo, 'https://login.example.com/logos/blog/1')
    const raised = askLines({ ...ASK, risk: 'raised', ask: 'match', why: ['album', 'brand_new_word'] }, t, '')
    assert.deepEqual(raised.warnings, [t.login.why.album, 'Something is unusual (brand_new_word).'])
    assert.equal(raised.canRemember, false)
  })

  test('who gets what is ticked is named, as far as the server knows', () => {
    assert.deepEqual(askLines(ASK, t, '').receiver, [])
    const site = { ...ASK.site, operator: 'Ann', contact: 'ann@example.com', privacy_url: 'https://blog.example.com/privacy' }
    assert.deepEqual(askLines({ ...ASK, site }, t, '').receiver, ['It goes to Ann', 'Contact: ann@example.com', 'Privacy policy: https://blog.example.com/privacy'])
  })

  test('what a browser does not say of itself is left out', () => {
    for (const t of Object.values(words)) {
      const named = (name, os) => browserName({ name, os, region: null }, t)
      assert.deepEqual([named('unknown', 'unknown'), named(null, null)], [t.login.unknownBrowser, t.login.unknownBrowser])
      assert.deepEqual([named('Chrome', 'unknown'), named('unknown', 'Windows 10'), named('', 'Linux')], ['Chrome', 'Windows 10', 'Linux'])
    }
  })

  test('first time is told but is no warning', () => {
    const lines = askLines({ ...ASK, why: ['first_time', 'new_browser'], browser: { ...ASK.browser, known: false } }, t, '')
    assert.deepEqual([lines.notes, lines.warnings], [[t.login.why.first_time], []])
    assert.ok(lines.rows.some(({ value }) => value === t.login.knownNo))
  })

  test('on the phone itself, and for a device, what is told is true and is no warning', () => {
    const lines = (kind, ...why) => askLines({ ...ASK, kind, why }, t, '')
    assert.deepEqual(lines('on_phone', 'page_says_phone').notes, ['The page says it is on this phone.'])
    assert.deepEqual(lines('device', 'device').notes, [], 'it stands above the address already')
    assert.deepEqual(askLines({ ...ASK, kind: 'on_phone', risk: 'raised', why: ['other_system'] }, t, '').warnings, [t.login.why.other_system])
  })

  test('no word of a page or a browser where a device waits, nor of a computer where there may be none', () => {
    for (const t of Object.values(words)) {
      const { hostLabel, only, rows } = askLines({ ...ASK, kind: 'device', browser: { name: 'Kodi', os: '', region: null, known: false, same_network: false } }, t, '')
      assert.doesNotMatch([hostLabel, only, ...rows.flatMap(Object.values)].join(' '), /网页|浏览器|page|browser/i)
      const { refusedHow, rememberHint, leave, deniedBody } = t.login
      assert.doesNotMatch([refusedHow, rememberHint, leave, deniedBody].join(' '), /网页|电脑|(this|the|that) page|computer/i)
    }
  })

  test('a device is never kept signed in, openid alone is nothing to tick', () => {
    const lines = askLines({ ...ASK, kind: 'device', scopes: ['openid'] }, t, '')
    assert.deepEqual([lines.canRemember, lines.scopes], [false, []])
  })

  test('time left, and languages', () => {
    assert.deepEqual([left(120_000), left(61_001), left(900), left(-5)], ['2:00', '1:02', '0:01', '0:00'])
    assert.deepEqual(['zh_CN', 'zh_TW', 'zh-Hans', 'en', 'en_US', 'ja', '', undefined].map(languageOf), ['zh', 'zh', 'zh', 'en', 'en', 'en', 'zh', 'zh'])
    assert.equal(fill('{a} and {b}', { a: 1 }), '1 and {b}')
  })
})

describe('calls', () => {
  const client = { version: '1', env: 'release', wechat: '8', library: '3', platform: 'ios' }
  const wx = (answer, seen = []) => ({
    seen,
    login: ({ success }) => success({ code: `code-${seen.length}` }),
    request: (options) => { seen.push(options); options.success(answer) },
  })

  test('a scan in full', async () => {
    const fake = wx({ statusCode: 200, data: ASK, header: {} })
    await new Api(fake, 'https://login.example.com', 'en', client).scan(TICKET, 'camera')
    const { url, method, header, data } = fake.seen[0]
    assert.deepEqual([method, url, header['Accept-Language'], header.Authorization], ['POST', `https://login.example.com/api/phone/tickets/${TICKET}/scan`, 'en', undefined])
    assert.deepEqual(JSON.parse(data), { js_code: 'code-0', entry: 'camera', protocol: 1, client })
  })

  test('the phone token travels in a header alone', async () => {
    const fake = wx({ statusCode: 200, data: { state: 'approved' }, header: {} })
    await new Api(fake, 'https://x.example', 'zh', client).approve(ASK, { match: '42' })
    assert.equal(fake.seen[0].header.Authorization, 'Bearer secret')
    assert.doesNotMatch(fake.seen[0].url + fake.seen[0].data, /secret/)
  })

  test('a wx.login that never answers is given up after twelve seconds', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    let asked
    const fake = { ...wx({}), login: (options) => { asked = options } }
    const session = new Api(fake, 'https://x.example', 'zh', client).session()
    assert.equal(asked.timeout, 10_000)
    t.mock.timers.tick(12_000)
    await assert.rejects(session, { code: 'wechat_timeout' })
  })

  test('a login without a code is a failure, not a call', async () => {
    const fake = { ...wx({}), login: ({ success }) => success({ code: '' }) }
    await assert.rejects(new Api(fake, 'https://x.example', 'zh', client).session(), { code: 'wx_login_failed' })
    assert.deepEqual(fake.seen, [])
  })
})

describe('the session for the pages about oneself', () => {
  const storage = () => {
    const kept = new Map()
    return { getStorageSync: (key) => kept.get(key) ?? '', setStorageSync: (key, value) => kept.set(key, value), removeStorageSync: (key) => kept.delete(key), kept }
  }
  const api = (seen) => ({ session: async () => ({ token: `t${seen.push('session')}`, expires_in: 1, person: { nickname: null, avatar: null } }), endSession: async (token) => { seen.push(`end ${token}`) } })

  test('is taken when first needed, kept in memory, renewed once', async () => {
    const seen = []
    const store = storage()
    const session = new Session(store, api(seen))
    assert.equal(session.chosen, false)
    assert.equal(await session.with(async (token) => token), 't1')
    assert.equal(await session.with(async (token) => token), 't1')
    assert.equal(await session.with(async (token) => { if (token === 't1') throw new Failure('unauthorized'); return token }), 't2')
    await assert.rejects(session.with(async () => { throw new Failure('unauthorized') }), { code: 'unauthorized' })
    assert.doesNotMatch(JSON.stringify([...store.kept]), /t\d/, 'no token is ever written down')
  })

  test('signing out forgets it and ends it; the next launch is a guest’s', async () => {
    const seen = []
    const store = storage()
    const session = new Session(store, api(seen))
    await session.with(async () => undefined)
    assert.equal(new Session(store, api([])).chosen, true)
    session.signOut()
    assert.deepEqual(seen, ['session', 'end t1'])
    assert.equal(new Session(store, api([])).chosen, false)
  })
})

describe('what is collected', () => {
  const client = Object.keys(saoma({ getAppBaseInfo: () => ({ version: '', SDKVersion: '' }), getAccountInfoSync: () => ({ miniProgram: { envVersion: '' } }), getDeviceInfo: () => ({ platform: '' }) }, { server: '', version: '', name: {} }).client)
  const docs = (name) => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8').split('\n').filter((line) => line.startsWith('>')).join('\n')

  test('stands in the privacy text and in the guide to paste, to the last word of what goes along with a scan', () => {
    const named = {
      zh: { version: '小程序版本', env: '是否体验版', wechat: '微信和基础库版本', library: '基础库版本', platform: '手机系统类型', entry: '打开方式（场景值）' },
      en: { version: 'mini program', env: 'trial version', wechat: 'versions of WeChat', library: 'base library', platform: 'kind of system', entry: 'scene number' },
    }
    const texts = { zh: [words.zh.about.privacy.join(), docs('from-zero.zh-CN')], en: [words.en.about.privacy.join(), docs('from-zero')] }
    for (const [language, all] of Object.entries(texts)) {
      assert.deepEqual(Object.keys(named[language]).sort(), [...client, 'entry'].sort())
      for (const text of all) for (const [key, word] of Object.entries(named[language])) assert.ok(text.includes(word), `${key} in ${language}`)
    }
  })

  test('pages that were used before ask WeChat as they open, and the texts say so', () => {
    for (const text of [words.zh.about.privacy.join(), docs('from-zero.zh-CN')]) assert.match(text, /打开“我的登录”或“我”/)
    for (const text of [words.en.about.privacy.join(), docs('from-zero')]) assert.match(text, /open(ing)? [“"]My sign-ins[”"] or [“"]Me[”"]/)
  })
})

describe('type', () => {
  const base = (info) => saoma({ getAppBaseInfo: () => ({ version: '', SDKVersion: '', ...info }), getAccountInfoSync: () => ({ miniProgram: { envVersion: 'trial' } }), getDeviceInfo: () => ({ platform: 'ios' }) }, { server: '', version: '', name: {} })
  test('follows WeChat’s font size, within reason', () => {
    assert.equal(base({ fontSizeScaleFactor: 1.25 }).type, '--type: 1.25')
    assert.equal(base({ fontSizeSetting: 24 }).type, '--type: 1.5')
    assert.equal(base({}).type, '--type: 1')
    assert.equal(base({ fontSizeScaleFactor: 9 }).type, '--type: 2')
  })
})
