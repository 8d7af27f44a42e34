// The calls of /api/phone, in the words of docs/protocol.md. Knows nothing of pages.
import type { EntryNumber } from './entry'
import { Failure, ofAnswer, ofLogin, ofRequest } from './failure'

/** The protocol spoken with the server; a server that no longer speaks it answers 426 `update_required`. */
const PROTOCOL = 1

export type Scope = 'openid' | 'profile' | 'email' | 'wechat' | 'offline_access'

export interface Person {
  nickname: string | null
  /** A path on the server's origin. */
  avatar: string | null
}

export interface Browser {
  name: string | null
  os: string | null
  region: string | null
}

/** The answer to a scan: who asks for what, and how much that is to be doubted. */
export interface Ask {
  scene: string
  token: string
  site: { name: string; host: string; logo: string | null; operator: string | null; contact: string | null; privacy_url: string | null }
  page: { host: string }
  browser: Browser & { known: boolean | null; same_network: boolean | null }
  kind: 'page' | 'on_phone' | 'device'
  age: number
  expires_in: number
  risk: 'low' | 'raised'
  why: string[]
  ask: 'tap' | 'match' | 'refuse'
  scopes: Scope[]
  person: Person | null
  /** What else the person should know before they tap, in their language: whose yes is missing, or what a link gives. */
  say: string | null
}

/** Somebody who waits for an owner's yes. */
export interface Asker {
  person: { name: string; nickname: string | null }
  site: { id: string; name: string }
  browser: Browser
  at: number
}

export interface Decision {
  match?: string
  remember?: boolean
  scopes?: Scope[]
}

export interface Login {
  id: string
  site: { name: string; host: string }
  browser: Browser
  since: number
  last_seen: number
}

export interface Attempt {
  id: string
  site: { name: string; host: string }
  browser: Browser
  at: number
  outcome: string
}

export interface Consent {
  site: { id: string; name: string; host: string }
  scopes: Scope[]
  since: number
}

export interface SignedIn {
  token: string
  expires_in: number
  person: Person
  /** To owners alone: how many people wait for a yes. */
  asks?: number
}

/** Where the phone stands: sent with a scan, for the audit log and for `saoma doctor --scan`. */
export interface Client {
  version: string
  env: string
  wechat: string
  library: string
  platform: string
}

type Wx = Pick<WechatMiniprogram.Wx, 'login' | 'request'>
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export class Api {
  constructor(
    private readonly wx: Wx,
    private readonly server: string,
    private readonly language: 'zh' | 'en',
    private readonly client: Client,
  ) {}

  /** A fresh js_code is taken for every scan: each is good once, and a lost answer has used it up (wechat-api.md 4.1). */
  async scan(ticket: string, entry: EntryNumber): Promise<Ask> {
    const js_code = await this.jsCode()
    return this.call('POST', `/tickets/${encodeURIComponent(ticket)}/scan`, { js_code, entry, ...this.about() })
  }

  async scanDigits(digits: string): Promise<Ask> {
    const js_code = await this.jsCode()
    return this.call('POST', `/codes/${digits}/scan`, { js_code, ...this.about() })
  }

  async approve(ask: Ask, decision: Decision): Promise<void> {
    await this.call('POST', `/tickets/${encodeURIComponent(ask.scene)}/approve`, decision, ask.token)
  }

  async deny(ask: Ask): Promise<void> {
    await this.call('POST', `/tickets/${encodeURIComponent(ask.scene)}/deny`, {}, ask.token)
  }

  async session(): Promise<SignedIn> {
    return this.call('POST', '/session', { js_code: await this.jsCode(), ...this.about() })
  }

  async endSession(token: string): Promise<void> {
    await this.call('DELETE', '/session', undefined, token)
  }

  async logins(token: string): Promise<Login[]> {
    return (await this.call<{ logins: Login[] }>('GET', '/logins', undefined, token)).logins
  }

  async attempts(token: string): Promise<Attempt[]> {
    return (await this.call<{ attempts: Attempt[] }>('GET', '/attempts', undefined, token)).attempts
  }

  async endLogin(token: string, id: string, notMe: boolean): Promise<void> {
    await this.call('DELETE', `/logins/${encodeURIComponent(id)}`, { not_me: notMe }, token)
  }

  /** Ending everything needs a fresh js_code, so that a stolen session token cannot do it. */
  async endAllLogins(token: string): Promise<void> {
    await this.call('DELETE', '/logins', { js_code: await this.jsCode() }, token)
  }

  async consents(token: string): Promise<Consent[]> {
    return (await this.call<{ consents: Consent[] }>('GET', '/consents', undefined, token)).consents
  }

  async withdraw(token: string, site: string): Promise<void> {
    await this.call('DELETE', `/consents/${encodeURIComponent(site)}`, undefined, token)
  }

  async asks(token: string): Promise<Asker[]> {
    return (await this.call<{ asks: Asker[] }>('GET', '/asks', undefined, token)).asks
  }

  /** Opening a door needs a fresh js_code as well. */
  async answer(token: string, ask: Asker, admit: boolean): Promise<void> {
    await this.call('POST', `/asks/${ask.person.name}/${ask.site.id}`, { js_code: await this.jsCode(), admit }, token)
  }

  /** All that is kept about this person, as the server words it. */
  async me(token: string): Promise<object> {
    return this.call('GET', '/me', undefined, token)
  }

  async saveProfile(token: string, profile: { nickname?: string; avatar?: string }): Promise<Person> {
    return this.call('PUT', '/profile', profile, token)
  }

  async deleteMe(token: string): Promise<void> {
    await this.call('DELETE', '/me', { js_code: await this.jsCode() }, token)
  }

  private about(): { protocol: number; client: Client } {
    return { protocol: PROTOCOL, client: this.client }
  }

  private async jsCode(): Promise<string> {
    let late = 0
    try {
      return await new Promise((resolve, reject) => {
        // Not every WeChat keeps to the timeout that it is given.
        late = setTimeout(() => reject(new Failure('wechat_timeout')), 12_000)
        this.wx.login({
          timeout: 10_000,
          success: ({ code }) => (code ? resolve(code) : reject(new Failure('wx_login_failed'))),
          fail: (fail) => reject(ofLogin(fail)),
        })
      })
    } finally {
      clearTimeout(late)
    }
  }

  private call<T>(method: Method, path: string, body?: object, token?: string): Promise<T> {
    return new Promise((resolve, reject) => {
      this.wx.request({
        url: `${this.server}/api/phone${path}`,
        method,
        // Text, because how wx.request turns an object into a DELETE body is not documented.
        ...(body && { data: JSON.stringify(body) }),
        header: {
          'Content-Type': 'application/json',
          'Accept-Language': this.language,
          ...(token && { Authorization: `Bearer ${token}` }),
        },
        // The server gives up on WeChat after ten seconds, so that it always answers first.
        timeout: 15_000,
        success: (answer) => {
          const { statusCode, data } = answer
          if (statusCode === 204) resolve(undefined as T)
          else if (statusCode >= 200 && statusCode < 300 && typeof data === 'object' && data !== null) resolve(data as T)
          else reject(ofAnswer(answer))
        },
        fail: (fail) => reject(ofRequest(fail)),
      })
    })
  }
}
