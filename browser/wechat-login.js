// See wechat-login.d.ts. Apache-2.0

const zh = {
  alt: '小程序码，请用微信扫描',
  loading: ['请稍候…'],
  waiting: ['请用微信扫一扫'],
  scanned: ['已扫描，请在手机上确认', '不是你？重新开始', '请在手机上输入 #'],
  approved: ['已确认，正在登录…'],
  denied: ['未通过手机确认', '再试一次'],
  expired: ['码已过期', '再试一次'],
  offline: ['连接不上，正在重试…', '', '请稍候，正在重试…'],
  taken: ['已在另一个窗口继续', '在这里继续'],
  error: ['暂时无法登录', '再试一次'],
  phone: ['', '用微信登录'],
};
const en = {
  alt: 'Code to scan with WeChat',
  loading: ['One moment…'],
  waiting: ['Scan with WeChat'],
  scanned: ['Scanned. Confirm on your phone', 'Not you? Start over', 'Type # on your phone'],
  approved: ['Confirmed. Signing in…'],
  denied: ['Not confirmed on your phone', 'Try again'],
  expired: ['This code has expired', 'Try again'],
  offline: ['No connection. Trying again…', '', 'Busy. Trying again…'],
  taken: ['Continues in another window', 'Continue here'],
  error: ['Cannot sign in now', 'Try again'],
  phone: ['', 'Sign in with WeChat'],
};
const ICONS = { scanned: '✓', approved: '✓', denied: '✕', expired: '↻', offline: '…', taken: '→', error: '!' };

const dark = '{--t:#e8ede9;--c:#1c221f;--l:#343d38}';
const style = `:host{--t:#1b211d;--c:#fff;--l:#dde3df;display:inline-block;text-align:center}
@media(prefers-color-scheme:dark){:host(:not([theme=light]))${dark}}
:host([theme=dark])${dark}
:host([hidden]),[hidden],span:empty{display:none!important}
[part=frame],[part=cover]{display:grid;justify-items:center;gap:12px;outline:0}
[part=qr]{position:relative;box-sizing:border-box;width:var(--saoma-size,232px);aspect-ratio:1;padding:16px;background:#fff;border-radius:var(--saoma-radius,18px);box-shadow:0 0 0 1px var(--l);overflow:hidden}
img,::slotted(img){display:block;width:100%;height:100%}
[part=cover]{position:absolute;inset:0;place-content:center;color:var(--t);background:var(--saoma-surface,var(--c))}
[part=icon],[part=avatar]{width:2em;height:2em;border-radius:50%;font-size:28px;line-height:2;background:var(--l)}
[part=match]{font-size:56px}
button,a{font:inherit;border:0;border-radius:99px;padding:10px 22px;color:#fff;background:var(--saoma-accent,#07803f);text-decoration:none}
:host([data-state=scanned]) button{background:none;color:inherit;text-decoration:underline}`;

const make = (tag, props, ...kids) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...kids);
  return node;
};

const login = (element, internals) => {
  let at, seen, hosted, stay, request, ticket, key, verifier;
  let next, timer, wire, once, turn = 0; // next: what to do once looked at.
  let renewals, tries, misses = 0, way = 0, soonest = 0; // way: WebSocket, events, poll.

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);

  const picture = make('img', { part: 'code' });
  const cover = make('div', { part: 'cover' });
  const box = make('div', { part: 'qr' }, make('slot', { name: 'code' }, picture), cover);
  const status = make('div', { part: 'status', role: 'status', ariaLive: 'polite' });
  const button = make('button', { part: 'refresh' });
  const link = make('a', { part: 'handover', target: '_top' });
  const frame = make('div', { part: 'frame', tabIndex: -1 }, box, status, button, link, make('slot'));
  const root = element.attachShadow({ mode: 'open' });
  root.adoptedStyleSheets = [sheet];
  root.append(frame);

  const get = (name) => element.getAttribute(name);
  const src = () => new URL(get('src') || import.meta.url).origin;
  const image = () => element.querySelector('[slot=code]') ?? picture;
  const fire = (name, detail) => element.dispatchEvent(new CustomEvent('saoma-' + name, { detail, bubbles: true, composed: true, cancelable: true }));

  const show = (now, busy) => {
    const { alt, [now]: [text, act, other] } = /^zh/i.test(element.closest('[lang]')?.lang || navigator.language) ? zh : en;
    const { match, person } = now === 'scanned' ? seen : {};
    const held = root.activeElement === button;
    at = element.dataset.state = now;
    const img = image();
    img.alt = alt;
    img.onerror = () => setTimeout(() => at === 'waiting' && show(at), pause());
    cover.replaceChildren(
      person?.avatar ? make('img', { part: 'avatar', src: person.avatar, alt: '' }) : make('span', { part: 'icon' }, match ? '' : ICONS[now] ?? ''),
      make('span', { part: 'name' }, person?.nickname ?? ''),
      make('span', { part: 'match' }, match ?? ''),
    );
    cover.hidden = now === 'waiting';
    link.hidden = now !== 'phone';
    box.hidden = !link.hidden || (cover.hidden && !img.getAttribute('src'));
    if (cover.hidden && !box.hidden && img.complete && !img.naturalWidth) img.src += '';
    button.hidden = !act || !link.hidden;
    button.textContent = link.textContent = act;
    const said = match || busy ? other.replace('#', match) : text;
    if (status.textContent !== said) status.textContent = said;
    if (held && button.hidden) frame.focus();
  };

  const ask = async (path, body) => {
    const answer = await fetch(src() + '/api/tickets' + path, {
      method: body && 'POST',
      headers: body && { 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout?.(35e3),
    });
    const json = await answer.json().catch(() => ({}));
    if (answer.ok) return json;
    throw { ...json, status: answer.status, wait: answer.headers.get('retry-after') * 1e3 || 0 };
  };

  // Earlier answers are ignored.
  const cut = (what) => {
    clearTimeout(timer);
    wire?.close();
    wire = null;
    next = what;
    return ++turn;
  };
  const step = (what, path, then, body) => {
    if (once === turn) return; // Twice undoes itself.
    const mine = cut(what);
    if (body && what !== claim) once = mine;
    ask(path, body).then((answer) => mine === turn && then(answer), (error) => mine === turn && trouble(error));
  };
  const stop = (now) => {
    cut();
    show(now);
  };
  const pause = () => Math.random() * Math.min(3e4, 500 * 2 ** tries++);
  // Not while nobody looks.
  const later = (what, least = 0) => {
    cut(what);
    soonest = performance.now() + least;
    timer = setTimeout(() => document.hidden || what(), least + pause());
  };

  const open = () => {
    show('loading');
    step(open, '', take, request);
  };
  const renew = () => step(renew, `/${ticket}/renew`, (fresh) => {
    renewals++;
    take(fresh);
  }, { key });
  const take = ({ code_url, ...fresh }) => {
    ({ ticket, key } = fresh);
    if (hosted) element.setAttribute('ticket', ticket);
    if (code_url !== undefined) image().src = code_url ? src() + code_url : '';
    seen = { state: 'waiting' };
    show('waiting');
    fire('ready', { ticket });
    watch();
  };

  const watch = () => {
    if (way > 1) return step(look, `/${ticket}?after=${seen.state}&wait=25`, (now) => {
      tries = 1;
      see(now);
      if (next === look) later(watch);
    });
    const mine = cut(look);
    const url = `${src()}/api/tickets/${ticket}/`;
    const lost = ({ code }) => {
      if (mine !== turn) return;
      misses++;
      code === 4001 ? stop('taken') : later(look);
    };
    timer = setTimeout(lost, 8e3, {}); // Some proxies pass nothing.
    wire = way ? new EventSource(url + 'events') : new WebSocket(url.replace('http', 'ws') + 'ws');
    wire.addEventListener(way ? 'state' : 'message', ({ data }) => {
      if (mine !== turn) return;
      misses = 0;
      see(JSON.parse(data));
    });
    wire.onerror = wire.onclose = lost;
  };
  const look = () => step(look, '/' + ticket, (now) => {
    if (misses > 1) way++, misses = 0;
    see(now);
    if (next === look) watch();
  });
  const see = (now) => {
    const { state, expires_in } = now;
    const news = state !== seen.state;
    seen = now;
    if (news) tries = 0;
    if (state === 'approved') return claim();
    if (state === 'denied' || state === 'expired') stop(now.reason ? 'error' : state);
    else {
      show(state);
      clearTimeout(timer);
      timer = setTimeout(() => document.hidden || look(), expires_in * 1e3 + 3e3);
    }
    if (news && state !== 'waiting') fire(state, now);
    if (state === 'expired' && get('auto-refresh') !== 'false' && renewals < 5) {
      next = renew;
      document.hidden || renew();
    }
  };

  const claim = () => {
    show('approved');
    step(claim, `/${ticket}/claim`, ({ redirect_to, params }) => {
      const result = { redirect_to, ...params };
      if (verifier) result.code_verifier = verifier;
      cut(hosted && claim); // The back button may show this page.
      const value = new FormData();
      for (const name in params) value.set(name, params[name]);
      internals.setFormValue(value);
      if (fire('approved', result) && !verifier && !internals.form) location.replace(redirect_to);
    }, { key });
  };

  const trouble = ({ status, code, detail, wait }) => {
    if (code === 'too_many_renewals') renewals = 5, stop('expired');
    else if (status === 404 && ticket) gone();
    else if (status === 409) later(look);
    else if (!(status < 429)) {
      misses = 0;
      show('offline', status);
      later(next, wait);
    } else {
      stop('error');
      fire('error', { code, detail });
    }
  };
  // A page just reloaded is not reloaded again.
  const gone = () => {
    cut(gone);
    if (document.hidden) return;
    if (hosted ? performance.now() < 3e4 && performance.getEntriesByType('navigation')[0].type === 'reload' : renewals++ > 4) renewals = 5, stop('expired');
    else hosted ? location.reload() : open();
  };
  // No longer shown: not to be approved.
  const leave = () => {
    const left = ticket && at !== 'approved' && ask(`/${ticket}/cancel`, { key }).catch(() => {});
    cut();
    stay?.abort();
    at = ticket = key = null;
    internals.setFormValue(null);
    return left;
  };
  const over = async () => {
    const left = leave();
    if (!hosted) return start();
    await left;
    location.reload();
  };
  const start = async () => {
    const mine = cut();
    await null; // Attributes may be late.
    if (mine !== turn) return;
    stay = new AbortController();
    for (const name of ['visibilitychange', 'pageshow', 'online']) addEventListener(name, wake, stay);
    addEventListener('offline', () => next === look && show('offline'), stay);
    renewals = tries = 0;
    if ((hosted = get('ticket'))) return take({ ticket: hosted });

    request = { scope: 'openid', code_challenge_method: 'S256' };
    for (const name of ['client-id', 'redirect-uri', 'scope', 'state', 'code-challenge']) if (get(name)) request[name.replace('-', '_')] = get(name);
    if (element.nonce) request.nonce = element.nonce; // A CSP empties the attribute.
    verifier = !request.code_challenge && crypto.randomUUID() + crypto.randomUUID();
    if (verifier) {
      const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
      if (mine !== turn) return;
      request.code_challenge = btoa(String.fromCharCode(...new Uint8Array(hash))).replace(/\+/g, '-').replace(/\//g, '_').replace('=', '');
      request.state ??= crypto.randomUUID();
    }
    if (!/Mobi/.test(navigator.userAgent)) return open();
    link.href = `${src()}/oauth2/authorize?${new URLSearchParams({ response_type: 'code', ...request })}`;
    link.onclick = () => {
      if (verifier) sessionStorage.setItem('saoma:' + request.state, verifier);
    };
    show('phone');
  };
  const wake = ({ persisted }) => {
    if (document.hidden || persisted === false || performance.now() < soonest) return;
    tries = 0;
    next?.();
  };
  button.onclick = () => (at === 'taken' ? watch() : at === 'expired' && renewals < 5 ? renew() : over());
  return { start, leave, over };
};

export class WechatLogin extends (globalThis.HTMLElement ?? class {}) {
  static formAssociated = true;
  #login = login(this, this.attachInternals());
  connectedCallback() {
    this.#login.start();
  }
  disconnectedCallback() {
    this.#login.leave();
  }
  refresh() {
    this.#login.over();
  }
}

globalThis.customElements?.get('wechat-login') ?? globalThis.customElements?.define('wechat-login', WechatLogin);
