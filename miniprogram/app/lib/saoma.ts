// The parts of the mini program, put together once; pages take them from the app.
import { Api, type Client } from './api'
import { Arrivals } from './entry'
import { failureOf } from './failure'
import { Session } from './session'
import type { Config } from './settings'
import { type FailureLines, failureLines } from './show'
import { languageOf, words, type Words } from './words'

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
