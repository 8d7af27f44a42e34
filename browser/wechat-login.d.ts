/**
 * `<wechat-login>`: sign in with WeChat by scanning, in any page. One module without dependencies, served by saoma:
 *
 * ```html
 * <script type="module" src="https://login.example.com/wechat-login.js"></script>
 * <wechat-login client-id="blog" redirect-uri="https://blog.example.com/callback"
 *   code-challenge="…" state="…" nonce="…"></wechat-login>
 * ```
 *
 * The page's origin must be among the site's `origins`. Needs a secure context (https, or http on loopback) and
 * a browser of 2023 or later (Chrome 103, Firefox 119, Safari 16.4); its CSP must allow saoma in `script-src`, `connect-src` (https and wss) and `img-src`.
 *
 * **Who redeems the code?**
 * - *The site's server* (the usual way): it makes a PKCE verifier, `state` and `nonce`, keeps them in its session and gives `code-challenge`, `state`, `nonce`.
 *   After the approval the element goes to `redirect_to`, which is the redirect URI with `code`, `state` and `iss`. Inside a `<form>` it stays
 *   and becomes the fields `code`, `state`, `iss` of that form instead. `preventDefault()` on `saoma-approved` keeps it where it is.
 * - *The page itself* (a public site, no `code-challenge`): the element makes the verifier and, if none is given, a `state`; it never navigates.
 *   `saoma-approved` brings `code_verifier`, with which the page calls `/oauth2/token`. The verifier is in no URL and in no form field.
 *
 * **On a phone** nothing can be scanned, so the element is a link to saoma's own page, which shows digits and comes back to the redirect URI
 * with `code`, `state` and `iss`. A verifier made here would not live through that: for this one way it is left in this tab's `sessionStorage`
 * under `saoma:<state>`, and the page at the redirect URI takes it from there: `sessionStorage.getItem('saoma:' + state)`.
 * A `state` that is not found there did not begin in this tab and must be refused.
 *
 * **Styling.** Parts: `frame`, `qr`, `code`, `cover`, `icon`, `avatar`, `name`, `match`, `status`, `refresh`, `handover`.
 * Custom properties: `--saoma-size`, `--saoma-radius`, `--saoma-accent` (buttons, under white text), `--saoma-surface` (over the code).
 * Fonts and the colour of the text are the page's own. The attribute `data-state` follows the `WechatLoginState`. The code is dark on a white card in every theme.
 * Slots: the default one stands below everything; `code` holds the picture on saoma's own page.
 *
 * **On a server** the module may be imported: it does nothing there.
 */
export class WechatLogin extends HTMLElement {
  static readonly formAssociated: true;

  /** Gives the present ticket up and starts over, with the attributes as they are now: call it after changing one. */
  refresh(): void;

  addEventListener<K extends keyof WechatLoginEventMap>(
    type: K,
    listener: (this: WechatLogin, event: WechatLoginEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: WechatLogin, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

/**
 * What is shown, in `data-state`. `waiting` to `expired` are the ticket's own states; `offline` is trying again, without a connection or because the server is busy; `taken`: the same
 * ticket goes on in another tab; `error` stays until the button is pressed, and is shown for a `denied` with a `reason` too; `phone` is the link to saoma's own page.
 */
export type WechatLoginState = 'loading' | 'waiting' | 'scanned' | 'approved' | 'denied' | 'expired' | 'offline' | 'taken' | 'error' | 'phone';

/**
 * The attributes, all of them read when a sign-in starts: in the microtask after the element came into the page, so that a framework may set them
 * just after it. Later changes need `refresh()`.
 */
export interface WechatLoginAttributes {
  /** saoma's origin. Default: where this module came from. */
  src?: string;
  'client-id'?: string;
  /** One of the site's registered redirect URIs, exactly. */
  'redirect-uri'?: string;
  /** Default `openid`. */
  scope?: string;
  /** Handed back as it came. Made here when there is no `code-challenge` and no `state`. */
  state?: string;
  /** Comes back in the id_token. */
  nonce?: string;
  /** BASE64URL(SHA256(verifier)), RFC 7636 method S256, made by the site's server. */
  'code-challenge'?: string;
  /** `zh…` is Chinese, anything else English. Default: the page's language, else the browser's. */
  lang?: string;
  /** Default `auto`: as the system has it. */
  theme?: 'auto' | 'light' | 'dark';
  /** `false`: an expired code waits for the button. Otherwise it is renewed up to five times while the page is looked at. */
  'auto-refresh'?: 'true' | 'false';
  /** saoma's own page only: the ticket that a cookie belongs to. */
  ticket?: string;
}

/** RFC 6749 4.1.2 and RFC 9207, as the redirect URI would receive it. */
export interface WechatLoginResult {
  /** The one-time authorization code. Absent on saoma's own page. */
  code?: string;
  state?: string;
  /** The issuer: saoma's origin. Absent on saoma's own page. */
  iss?: string;
  /** The redirect URI with all of the above. */
  redirect_to: string;
  /** Only where the element made it. */
  code_verifier?: string;
}

/** All bubble and are composed. */
export interface WechatLoginEventMap {
  /** A code can be scanned: the first one, or a renewed one. */
  'saoma-ready': CustomEvent<{ ticket: string }>;
  /** A phone has scanned. `match` is the number to type there, where one is asked for. */
  'saoma-scanned': CustomEvent<{ state: 'scanned'; expires_in: number; match?: string; person?: { nickname: string | null; avatar: string | null } }>;
  /** Claimed. `preventDefault()` keeps the element from going to `redirect_to`. */
  'saoma-approved': CustomEvent<WechatLoginResult>;
  /** `reason` where it was not the person who said no: the site's owner must let them in first and has been asked, or does not let them in. */
  'saoma-denied': CustomEvent<{ state: 'denied'; expires_in: number; reason?: 'owner_asked' | 'not_admitted' }>;
  'saoma-expired': CustomEvent<{ state: 'expired'; expires_in: number }>;
  /** What no retry mends: `code` and `detail` as in saoma's problem+json, e.g. `origin_not_allowed`. */
  'saoma-error': CustomEvent<{ code?: string; detail?: string }>;
}

declare global {
  interface HTMLElementTagNameMap {
    'wechat-login': WechatLogin;
  }
  interface GlobalEventHandlersEventMap extends WechatLoginEventMap {}
}
