// Everything that can go wrong, by a stable code: what the server answered, or what WeChat would not do.
// The sentences for each code stand in words.ts.

export class Failure extends Error {
  constructor(
    /** The server's problem code, or one of those that `ofRequest` and its neighbours give. */
    readonly code: string,
    /** The server's own sentence, in the person's language; shown where we know no better one. */
    readonly detail = '',
    /** WeChat's own text, for whoever mends it. */
    readonly raw = '',
    /** Seconds after which it is worth trying again, where the server said so. */
    readonly after = 0,
    /** The status of the answer; 0 where there was none. */
    readonly status = 0,
  ) {
    super(code)
  }
}

/** Anything thrown, as a Failure; a mistake of ours keeps its text for the report. */
export function failureOf(thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : new Failure('unexpected', '', String(thrown))
}

/** Failures of the way to the server or to WeChat, which may be gone when the network is back. */
export function ofTheNetwork(failure: Failure): boolean {
  return ['offline', 'timeout', 'unreachable', 'interrupted', 'wechat_timeout'].includes(failure.code)
}

/** Answers of a server that is busy or broken, or of a proxy before it: the same call may go well a little later. */
export function ofTheMoment(failure: Failure): boolean {
  return failure.status >= 500 || failure.status === 408 || failure.status === 429 || failure.code === 'not_saoma'
}

const TIMED_OUT = /time ?d? ?-?_?out|超时/i

/**
 * What wx.request's `fail` means. The texts differ between iOS, Android and versions and are documented nowhere
 * in full, so they are matched loosely: 600002 and the first text are the domain list, 600003 an interruption.
 */
export function ofRequest(fail: { errMsg?: string; errno?: number }): Failure {
  const raw = fail.errMsg ?? ''
  const is = (pattern: RegExp) => pattern.test(raw)
  const code =
    fail.errno === 600002 || is(/domain list|合法域名/i) ? 'domain_not_listed'
    : is(/ssl|tls|cert|hand ?shake|证书|secure connection/i) ? 'tls'
    : is(/INTERNET_DISCONNECTED|offline|not connected|断开与互联网|network is down|NETWORK_CHANGED/i) ? 'offline'
    : is(TIMED_OUT) ? 'timeout'
    : fail.errno === 600003 || is(/interrupted|abort/i) ? 'interrupted'
    : is(/privacy/i) ? 'privacy_refused'
    : 'unreachable'
  return new Failure(code, '', raw)
}

/** What wx.login's `fail` means. */
export function ofLogin(fail: { errMsg?: string }): Failure {
  const raw = fail.errMsg ?? ''
  if (/privacy/i.test(raw)) return new Failure('privacy_refused', '', raw)
  return new Failure(TIMED_OUT.test(raw) ? 'wechat_timeout' : 'wx_login_failed', '', raw)
}

/** What wx.scanCode's `fail` means; undefined where the person only closed the scanner. */
export function ofScanner(fail: { errMsg?: string }): Failure | undefined {
  const raw = fail.errMsg ?? ''
  if (/cancel/i.test(raw)) return undefined
  if (/privacy/i.test(raw)) return new Failure('privacy_refused', '', raw)
  if (/auth|deny|denied|permission|system permission/i.test(raw)) return new Failure('camera_refused', '', raw)
  return new Failure('scanner_failed', '', raw)
}

/** An answer of the server that is no success. Anything but problem+json came from something in between. */
export function ofAnswer(answer: { statusCode: number; data: unknown; header?: object }): Failure {
  const { statusCode } = answer
  const problem = typeof answer.data === 'object' && answer.data !== null ? (answer.data as Record<string, unknown>) : {}
  const detail = typeof problem['detail'] === 'string' ? problem['detail'] : ''
  const raw = `HTTP ${statusCode}`
  const code =
    typeof problem['code'] === 'string' ? problem['code']
    : statusCode === 401 ? 'unauthorized'
    : statusCode === 426 ? 'update_required'
    : statusCode === 429 ? 'too_many_requests'
    : 'not_saoma'
  return new Failure(code, detail, raw, retryAfter(answer.header), statusCode)
}

function retryAfter(header: object | undefined): number {
  // WeChat hands header names over as the server (or HTTP/2) wrote them.
  for (const [name, value] of Object.entries(header ?? {})) {
    if (name.toLowerCase() === 'retry-after') return Math.max(0, Number.parseInt(String(value), 10) || 0)
  }
  return 0
}
