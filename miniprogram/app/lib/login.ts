// One sign-in on the phone: scan, ask, decide. A table of steps without a page, so that it can be tested as a story.
import type { Api, Ask, Decision } from './api'
import type { Arrival, Arrivals } from './entry'
import { type Failure, failureOf, Failure as Refusal, ofTheMoment, ofTheNetwork } from './failure'

export type Step =
  | { is: 'nothing' }
  | { is: 'robot' }
  | { is: 'looking' }
  /**
   * `trouble` is why the last tap came to nothing; the person may tap again.
   * `sent` is what they tapped where the server may have taken it and its answer was lost: then only the same may be tapped,
   * which is answered as it was, and `until` is when asking for that answer is given up.
   */
  | { is: 'asking'; ask: Ask; until: number; trouble?: Failure; sent?: 'yes' | 'no' }
  | { is: 'sending'; ask: Ask; until: number; sent?: 'yes' | 'no' }
  | { is: 'approved'; ask: Ask }
  | { is: 'denied'; ask: Ask }
  | { is: 'failed'; failure: Failure; again: boolean }

/** What a repeated scan with a fresh js_code may mend, beside troubles of the moment; everything else stays as it is. */
const WORTH_ANOTHER_SCAN = new Set(['js_code_refused', 'wx_login_failed', 'unauthorized', 'domain_not_listed', 'tls', 'unexpected'])

/** After these the question still stands: the server says that nothing was decided. */
const ASK_AGAIN = new Set(['match_required', 'invalid_request', 'request_timeout', 'too_many_requests'])

/** How long a lost answer can be asked for again: as long as the server keeps a decision for its page. */
const ANSWER_KEPT = 120_000

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
      next = { is: 'failed', failure, again: worthAnotherScan(failure) }
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
      const { trouble: _, ...step } = this.step
      this.go(step)
    }
  }

  /** Call only from a tap of the person. */
  async approve(decision: Decision): Promise<void> {
    if (this.step.is !== 'asking' || this.step.ask.ask === 'refuse') return
    const { ask } = this.step
    if (ask.ask === 'match' && !/^[0-9]{2}$/.test(decision.match ?? '')) {
      return this.go({ ...this.step, trouble: new Refusal('match_required') })
    }
    await this.decide('yes', () => this.api.approve(ask, decision))
  }

  /** Call only from a tap of the person. */
  async deny(): Promise<void> {
    if (this.step.is !== 'asking') return
    const { ask } = this.step
    await this.decide('no', () => this.api.deny(ask))
  }

  /** The clock moved on. */
  tick(): void {
    if (this.step.is === 'asking' && this.now() >= this.step.until) {
      this.go({ is: 'failed', failure: new Refusal(this.step.sent ? 'no_answer' : 'ticket_expired'), again: false })
    }
  }

  private async decide(tapped: 'yes' | 'no', send: () => Promise<void>): Promise<void> {
    if (this.step.is !== 'asking' || (this.step.sent && this.step.sent !== tapped)) return
    const { trouble: _, ...before } = this.step
    const round = this.round
    const lost = { sent: tapped, until: before.sent ? before.until : this.now() + ANSWER_KEPT }
    this.go({ ...before, is: 'sending' })
    let next: Step
    try {
      await send()
      next = { is: tapped === 'yes' ? 'approved' : 'denied', ask: before.ask }
    } catch (thrown) {
      const trouble = failureOf(thrown)
      if (ASK_AGAIN.has(trouble.code)) next = { ...before, trouble }
      else if (ofTheNetwork(trouble) || ofTheMoment(trouble)) next = { ...before, ...lost, trouble }
      // Decisions are forgotten when their time is over.
      else if (before.sent && trouble.code === 'no_such_ticket') next = { is: 'failed', failure: new Refusal('no_answer'), again: false }
      else next = { is: 'failed', failure: trouble, again: worthAnotherScan(trouble) }
    }
    if (round === this.round) this.go(next)
  }

  private go(step: Step): void {
    this.step = step
    this.changed(step)
  }
}

function worthAnotherScan(failure: Failure): boolean {
  return ofTheNetwork(failure) || ofTheMoment(failure) || WORTH_ANOTHER_SCAN.has(failure.code)
}
