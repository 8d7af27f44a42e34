/** What `saoma miniprogram` fills in. Nothing here is secret: everybody can unpack a mini program. */
export interface Config {
  /** saoma's `public_url`: an origin, to the letter what stands in the console under request domains. */
  server: string
  /** The name shown on the home page; the same in both languages where the owner gave one only. */
  name: { zh: string; en: string }
  /** Sites named on the home page, so that a guest (and a reviewer) sees what this is for. */
  sites: { name: string; host: string }[]
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

/** The protocol spoken with the server; a server that no longer speaks it answers 426 `update_required`. */
export const PROTOCOL = 1
