// The token for the pages about oneself. It lives in memory alone, is taken only after a tap, and cannot approve anything.
import type { Api, Person, SignedIn } from './api'
import { failureOf } from './failure'

type Wx = Pick<WechatMiniprogram.Wx, 'getStorageSync' | 'setStorageSync' | 'removeStorageSync'>

/** Set once a person has used these pages, so that they need not ask for it every time. Holds no identity. */
const MEMBER = 'saoma.member'

export class Session {
  person: Person | undefined
  /** Whether this person owns the server, and so is asked who may come in. */
  owner: boolean | undefined
  private token: string | undefined

  constructor(
    private readonly wx: Wx,
    private readonly api: Pick<Api, 'session' | 'endSession'>,
  ) {}

  /** Whether the person has chosen to be known on this phone; a guest is asked before WeChat is. */
  get chosen(): boolean {
    return this.token !== undefined || this.wx.getStorageSync(MEMBER) === true
  }

  /** Calls with a token, taking one where there is none and a new one once where the old one has ended. */
  async with<T>(call: (token: string) => Promise<T>): Promise<T> {
    const had = this.token
    try {
      return await call(had ?? (await this.open()).token)
    } catch (thrown) {
      if (had === undefined || failureOf(thrown).code !== 'unauthorized') throw thrown
      return call((await this.open()).token)
    }
  }

  /** Signs out on this phone; the token's end on the server is asked for but not waited on. */
  signOut(): void {
    if (this.token !== undefined) this.api.endSession(this.token).catch(() => undefined)
    this.forget()
  }

  /** After the person was deleted there is nothing to end on the server. */
  forget(): void {
    this.token = undefined
    this.person = undefined
    this.owner = undefined
    this.wx.removeStorageSync(MEMBER)
  }

  private async open(): Promise<SignedIn> {
    const signedIn = await this.api.session()
    this.token = signedIn.token
    this.person = signedIn.person
    this.owner = signedIn.asks !== undefined
    this.wx.setStorageSync(MEMBER, true)
    return signedIn
  }
}
