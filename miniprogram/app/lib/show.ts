// From what the server said to what stands on the screen. Pure: words in, lines out.
import type { Ask, Browser, Scope } from './api'
import type { Failure } from './failure'
import { fill, type Words } from './words'

export interface FailureLines {
  code: string
  title: string
  say: string
  /** What whoever runs the server does about it; empty where there is nothing to do. */
  owner: string
}

/** A failure in words, with the host it is about. A code we do not know yet shows the server's own sentence. */
export function failureLines(failure: Failure, t: Words, server: string): FailureLines {
  const known = t.failures[failure.code]
  const { title, say, owner = '' } = known ?? { ...t.failureOther, ...(failure.detail && { say: failure.detail }) }
  const values = {
    server,
    host: hostOf(server),
    detail: failure.detail || failure.code,
    raw: failure.raw || failure.code,
    after: failure.after || 60,
  }
  return { code: failure.code, title: fill(title, values), say: fill(say, values), owner: owner && t.failure.owner + fill(owner, values) }
}

export interface AskLines {
  site: string
  /** The site's own host, where the page does not stand on it. */
  siteHost: string
  host: string
  hostLabel: string
  /** When a yes is right. */
  only: string
  logo: string
  rows: { label: string; value: string }[]
  /** Reasons for doubt, shown before everything else where risk is raised. */
  warnings: string[]
  /** Reasons that raise nothing and stand in no row. */
  notes: string[]
  raised: boolean
  refuse: boolean
  match: boolean
  scopes: { name: Scope; label: string }[]
  /** Who gets what is ticked, how to reach them, and where they say what they do with it. */
  receiver: string[]
  canRemember: boolean
  person: string
  say: string
}

/** What the login page shows. Signals warn and never reassure, so a good sign is a plain line like any other. */
export function askLines(ask: Ask, t: Words, server: string): AskLines {
  const { browser } = ask
  const l = t.login
  const device = ask.kind === 'device'
  const sentence = (why: string) => l.why[why] ?? fill(l.whyOther, { why })
  const doubtful = ask.risk === 'raised' || ask.ask === 'refuse'
  return {
    site: ask.site.name,
    siteHost: ask.site.host === ask.page.host ? '' : ask.site.host,
    host: ask.page.host,
    hostLabel: device ? l.deviceCode : l.addressBar,
    only: device ? l.ownDeviceOnly : l.ownPageOnly,
    logo: ask.site.logo ? server + ask.site.logo : '',
    rows: [
      { label: device ? l.device : l.browser, value: browserName(browser, t) },
      ...(device || browser.known === null ? [] : [{ label: l.known, value: browser.known ? l.knownYes : l.knownNo }]),
      { label: l.region, value: browser.region ?? l.unknown },
      { label: l.network, value: browser.same_network === null ? l.unknown : browser.same_network ? l.sameNetwork : l.otherNetwork },
      { label: l.age, value: ago(ask.age, t) },
    ],
    warnings: doubtful ? ask.why.map(sentence) : [],
    notes: doubtful ? [] : ask.why.filter((why) => !['new_browser', 'other_network', 'device'].includes(why)).map(sentence),
    raised: ask.risk === 'raised',
    refuse: ask.ask === 'refuse',
    match: ask.ask === 'match',
    scopes: ask.scopes.flatMap((name) => (name === 'openid' ? [] : [{ name, label: l.scopes[name] ?? name }])),
    receiver: [
      ...(ask.site.operator ? [fill(l.receiver, { operator: ask.site.operator })] : []),
      ...(ask.site.contact ? [fill(l.contact, { contact: ask.site.contact })] : []),
      ...(ask.site.privacy_url ? [fill(l.privacyPolicy, { url: ask.site.privacy_url })] : []),
    ],
    canRemember: !device && ask.risk === 'low' && ask.ask !== 'refuse',
    person: ask.person?.nickname ?? '',
    say: ask.say ?? '',
  }
}

export function browserName(browser: Browser, t: Words): string {
  const [name, os] = [browser.name, browser.os].map((word) => (word === 'unknown' ? '' : word))
  if (name && os) return fill(t.login.on, { name, os })
  return name || os || t.login.unknownBrowser
}

export function ago(seconds: number, t: Words): string {
  if (seconds < 5) return t.login.ageNow
  return seconds < 120
    ? fill(t.login.ageSeconds, { n: Math.round(seconds) })
    : fill(t.login.ageMinutes, { n: Math.round(seconds / 60) })
}

/** Minutes and seconds that are left, e.g. 1:05. */
export function left(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** A moment in the phone's own time zone, e.g. 2026-11-22 21:05. */
export function moment(unixSeconds: number): string {
  const at = new Date(unixSeconds * 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`
}

export function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, '')
}
