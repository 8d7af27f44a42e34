// One sign-in on the phone: scan, ask, decide. A table of steps without a page, so that it can be tested as a story.
import type { Api, Ask, Decision } from './api'
import type { Arrival, Arrivals } from './entry'
import { type Failure, failureOf, Failure as Refusal, ofTheNetwork } from './failure'

export type Step =
  | { is: 'nothing' }
  | { is: 'robot' }
  | { is: 'looking' }
  /** `trouble` is why the last tap came to nothing; the person may tap again. */
  | { is: 'asking'; ask: Ask; until: number; trouble?: Failure }
  | { is: 'sending'; ask: Ask; until: number; yes: boolean }
  | { is: 'approved'; ask: Ask }
  | { is: 'denied'; ask: Ask }
  | { is: 'failed'; failure: Failure; again: boolean }

/** What a repeated scan with a fresh js_code may mend; everything else stays as it is. */
const WORTH_ANOTHER_SCAN = new Set([
  'js_code_refused', 'too_many_requests', 'wechat_unreachable', 'wx_login_failed', 'unauthorized',
  'domain_not_listed', 'tls', 'not_saoma', 'internal', 'unexpected',
])

/** After these the question still stands: nothing was decided. */
const ASK_AGAIN = new Set(['match_required', 'invalid_request', 'too_many_requests', 'not_saoma', 'internal'])

export class LoginFlow {
  step: Step
  private arrival: Arrival | undefined
  /** Counts the scans, so that the answer to an older one never shows over a newer one. */
  private round: number

  constructor(
    private readonly api: Pick<Api, 'scan' | 'scanDigits' | 'approve' | 'deny'>,
    private readonly arrivals: Pick<Arrivals, 'robot' | 'browseOnly'>,
    private readonly now: () => number,
    private readonly changed: (step: Step) => void,
  ) {
    this.step = { is: 'nothing' }
    this.round = 0
  }

  /** Looks at a ticket. It asks the server who wants what; it never decides anything. */
  async open(arrival: Arrival): Promise<void> {
    this.arrival = arrival
    const round = ++this.round
    if (this.arrivals.robot) return this.go({ is: 'robot' })
    if (this.arrivals.browseOnly) return this.go({ is: 'failed', failure: new Refusal('browse_only'), again: false })
    this.go({ is: 'looking' })
    let next: Step
    try {
      const ask = 'digits' in arrival
        ? await this.api.scanDigits(arrival.digits)
        : await this.api.scan(arrival.ticket, arrival.entry)
      next = { is: 'asking', ask, until: this.now() + ask.expires_in * 1000 }
    } catch (thrown) {
      let failure = failureOf(thrown)
      // Who typed has no code to scan anew: they look at the digits again.
      if ('digits' in arrival && failure.code === 'no_such_ticket') failure = new Refusal('wrong_digits')
      next = { is: 'failed', failure, again: ofTheNetwork(failure) || WORTH_ANOTHER_SCAN.has(failure.code) }
    }
    if (round === this.round) this.go(next)
  }

  /** The same ticket once more, by the person's wish or because the network is back. */
  async again(): Promise<void> {
    if (this.step.is === 'failed' && this.step.again && this.arrival) await this.open(this.arrival)
  }

  /** The network is back, or the page is: only looking is repeated by itself, never a decision. */
  async networkIsBack(): Promise<void> {
    if (this.step.is === 'failed' && ofTheNetwork(this.step.failure)) await this.again()
    else if (this.step.is === 'asking' && this.step.trouble && ofTheNetwork(this.step.trouble)) {
      const { ask, until } = this.step
      this.go({ is: 'asking', ask, until })
    }
  }

  /** Call only from a tap of the person. */
  async approve(decision: Decision): Promise<void> {
    if (this.step.is !== 'asking' || this.step.ask.ask === 'refuse') return
    const { ask, until } = this.step
    if (ask.ask === 'match' && !/^[0-9]{2}$/.test(decision.match ?? '')) {
      return this.go({ is: 'asking', ask, until, trouble: new Refusal('match_required') })
    }
    await this.decide(ask, until, true, () => this.api.approve(ask, decision))
  }

  /** Call only from a tap of the person. */
  async deny(): Promise<void> {
    if (this.step.is !== 'asking') return
    const { ask, until } = this.step
    await this.decide(ask, until, false, () => this.api.deny(ask))
  }

  /** The clock moved on. */
  tick(): void {
    if (this.step.is === 'asking' && this.now() >= this.step.until) {
      this.go({ is: 'failed', failure: new Refusal('ticket_expired'), again: false })
    }
  }

  private async decide(ask: Ask, until: number, yes: boolean, send: () => Promise<void>): Promise<void> {
    const round = this.round
    this.go({ is: 'sending', ask, until, yes })
    let next: Step
    try {
      await send()
      next = { is: yes ? 'approved' : 'denied', ask }
    } catch (thrown) {
      const failure = failureOf(thrown)
      // The answer may have been lost after the server took the decision: the same tap again gets the same answer.
      next = ofTheNetwork(failure) || ASK_AGAIN.has(failure.code)
        ? { is: 'asking', ask, until, trouble: failure }
        : { is: 'failed', failure, again: WORTH_ANOTHER_SCAN.has(failure.code) }
    }
    if (round === this.round) this.go(next)
  }

  private go(step: Step): void {
    this.step = step
    this.changed(step)
  }
}
