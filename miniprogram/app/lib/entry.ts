// How the mini program was opened, and with which ticket.
// The number that WeChat gives (wechat-api.md 6) belongs to the ticket's arrival, not to the present moment:
// coming back from the recents list must not turn a long press into something milder.

/** WeChat's scene number, or our own scan button. */
export type EntryNumber = number | 'camera'

export type Arrival = { ticket: string; entry: EntryNumber } | { digits: string }

/** The part of WeChat's launch and enter options that counts here. */
export interface EnterOptions {
  scene: number
  query?: Record<string, unknown>
  apiCategory?: string
}

/** Ways back into a running mini program that say nothing about the code (WeChat's own list for its follow component). */
const WARM = new Set([1001, 1038, 1041, 1089, 1090, 1104, 1131, 1187])

/** WeChat's crawler, its load test, automation and remote debugging. They look at pages; they sign nobody in. */
const ROBOTS = new Set([1030, 1101, 1129, 1203])

/** Characters that WeChat allows in a scene; ours are 22 of base62, which is for the server to judge. */
const TICKET = /^[0-9A-Za-z!#$&'()*+,/:;=?@\-._~]{1,32}$/

export class Arrivals {
  /** True while a robot is looking: nothing may be asked of WeChat or of the server. */
  robot: boolean
  /** True in the preview inside Moments, where WeChat lets nobody sign in. */
  browseOnly: boolean

  private readonly seen: Map<string, EntryNumber>
  private coldStart: number | undefined
  private last: { ticket: string; scene: number } | undefined
  private waiting: Arrival | undefined

  // Set here and not as fields: what ships is ES2020, which older iPhones still need.
  constructor() {
    this.robot = false
    this.browseOnly = false
    this.seen = new Map()
  }

  /** Call with every launch and enter options; the same ones again change nothing. */
  arrive(options: EnterOptions): void {
    const { scene } = options
    const warm = WARM.has(scene)
    const coldStart = (this.coldStart = this.coldStart ?? scene)
    if (!warm) this.robot = ROBOTS.has(scene)
    this.browseOnly = options.apiCategory === 'browseOnly'

    const ticket = ticketOf(options.query?.['scene'])
    if (ticket === undefined) return
    if (warm && this.seen.has(ticket)) return
    // Android repeats the number of the first entry after the Home key, and the page asks as well as the app.
    if (this.last?.ticket === ticket && this.last.scene === scene) return
    this.last = { ticket, scene }
    this.expect(ticket, warm ? coldStart : scene)
  }

  /** Our own scan button read a code: certainly a live camera, for it allows nothing else. */
  camera(ticket: string): void {
    this.expect(ticket, 'camera')
  }

  /** Eight digits were typed. They are never taken from a link, which somebody else could have made. */
  typed(digits: string): void {
    this.waiting = { digits }
  }

  /** The arrival that no page has taken up yet; a second call gives nothing. */
  take(): Arrival | undefined {
    const arrival = this.waiting
    this.waiting = undefined
    return arrival
  }

  /** How this ticket arrived; 0, which nothing trusts, where nobody saw it arrive. */
  entryOf(ticket: string): EntryNumber {
    return this.seen.get(ticket) ?? 0
  }

  private expect(ticket: string, entry: EntryNumber): void {
    this.seen.set(ticket, entry)
    this.waiting = { ticket, entry }
  }
}

/** The ticket in a page's `scene` query: interface B percent-encodes it, A and C hand over a plain query. */
export function ticketOf(scene: unknown): string | undefined {
  if (typeof scene !== 'string') return undefined
  const plain = decoded(scene)
  return TICKET.test(plain) ? plain : undefined
}

/**
 * The ticket in what wx.scanCode read. For a code of this mini program WeChat gives `path` (typings: only then);
 * whether it keeps `scene` percent-encoded there is not documented, so both are read. The pretend WeChat's codes
 * are ordinary QR, whose `result` is an address with the same query.
 */
export function ticketOfCode(code: { path?: string; result?: string }): string | undefined {
  for (const text of [code.path, code.result]) {
    const query = text?.split('?')[1]?.split('#')[0]
    const pair = query?.split('&').find((part) => part.startsWith('scene='))
    const ticket = ticketOf(pair?.slice('scene='.length))
    if (ticket !== undefined) return ticket
  }
  return undefined
}

/** Eight digits out of what a person typed, with or without gaps; undefined while they are not complete. */
export function digitsOf(typed: string): string | undefined {
  const digits = typed.replace(/[\s-]/g, '')
  return /^[0-9]{8}$/.test(digits) ? digits : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // A lone % is no code of ours; the check of characters refuses it.
  }
}
