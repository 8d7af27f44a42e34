// The parts of the mini program, put together once; pages take them from the app.
import { Api, type Client } from './api'
import { Arrivals } from './entry'
import { failureOf } from './failure'
import { Session } from './session'
import { type FailureLines, failureLines } from './show'
import { languageOf, words, type Words } from './words'

/** What `saoma miniprogram` fills in. Nothing here is secret: everybody can unpack a mini program. */
export interface Config {
  /** saoma's `public_url`: an origin, to the letter what stands in the console under request domains. */
  server: string
  /** The name shown on the home page; the same in both languages where the owner gave one only. */
  name: { zh: string; en: string }
  /** Sites named on the home page, so that a guest (and a reviewer) sees what this is for. */
  sites: { name: string; host: string }[]
  /** A file of the package, SVG or PNG, square; never anything that looks like WeChat's own. */
  logo: string
  /** Who answers for it, as registered with WeChat. */
  operator: string
  /** An e-mail address or anything else by which people reach the operator. */
  contact: string
  /** The mini program's filing number (备案号), empty before it is known. */
  filing: string
  version: string
  /** Nickname and avatar. Off means that the page which asks for them is not in the package at all. */
  profile: boolean
}

export interface Saoma {
  config: Config
  t: Words
  /** Inline style that carries WeChat's own font size setting into our style sheet. */
  type: string
  client: Client
  arrivals: Arrivals
  api: Api
  session: Session
  /** Anything thrown, in words. */
  explain(thrown: unknown): FailureLines
  /** Asks yes or no in WeChat's own dialogue. */
  agrees(question: string): Promise<boolean>
}

export function saoma(wx: WechatMiniprogram.Wx, config: Config): Saoma {
  const base = wx.getAppBaseInfo()
  const account = wx.getAccountInfoSync().miniProgram
  const language = languageOf(base.language)
  const t = words[language]
  const client: Client = {
    version: config.version,
    env: account.envVersion,
    wechat: base.version,
    library: base.SDKVersion,
    platform: wx.getDeviceInfo().platform,
  }
  const api = new Api(wx, config.server, language, client)
  return {
    config,
    t,
    type: `--type: ${typeScale(base)}`,
    client,
    arrivals: new Arrivals(),
    api,
    session: new Session(wx, api),
    explain: (thrown) => failureLines(failureOf(thrown), t, config.server),
    agrees: (question) =>
      new Promise((resolve) => {
        wx.showModal({
          content: question,
          confirmText: t.ask.yes,
          cancelText: t.ask.no,
          success: ({ confirm }) => resolve(confirm),
          fail: () => resolve(false),
        })
      }),
  }
}

/** WeChat's font size as a factor; older libraries give pixels alone, of which 16 is the standard size. */
function typeScale(base: { fontSizeScaleFactor?: number; fontSizeSetting?: number }): number {
  const factor = base.fontSizeScaleFactor ?? (base.fontSizeSetting ?? 16) / 16
  return Math.min(2, Math.max(0.85, factor))
}
