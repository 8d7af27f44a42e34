// new WxLogin({...}) as WeChat's own website sign-in has it, shown by <wechat-login>: a site moves by changing its script tag.
// A classic script, as WeChat's is. What the names mean here stands in docs/moving-from-wxlogin.md. Apache-2.0

(() => {
  const origin = new URL(document.currentScript.src).origin;
  // Sites pass it encoded once, since WeChat pastes it into a URL as it comes.
  const decoded = (uri) => (/^[a-z][a-z0-9+.-]*%3a/i.test(uri) ? decodeURIComponent(uri) : uri);
  // WeChat's word for a website's sign-in. Here every sign-in is one.
  const scope = (given) => [...new Set((given || '').split(/[\s,]+/).map((word) => (word.startsWith('snsapi_') ? 'openid' : word)))].filter(Boolean).join(' ') || 'openid';

  // Without a challenge from the site's server nothing proves later that the code came to this browser: the hosted page
  // does it then, which asks nothing of the page that leads there.
  const link = (given, request) => {
    const a = document.createElement('a');
    a.href = `${origin}/oauth2/authorize?${new URLSearchParams({ response_type: 'code', ...request })}`;
    a.target = given.self_redirect ? '_self' : '_top';
    a.textContent = /^zh/i.test(document.documentElement.lang || navigator.language) ? '用微信登录' : 'Sign in with WeChat';
    return a;
  };

  const element = (given, request) => {
    const login = document.createElement('wechat-login');
    for (const [name, value] of Object.entries(request)) login.setAttribute(name.replace('_', '-'), value);
    // White text is for dark pages.
    const theme = given.color_scheme ?? { white: 'dark', black: 'light' }[given.style];
    if (theme) login.setAttribute('theme', theme);
    login.addEventListener('saoma-ready', () => {
      given.onReady?.(true);
      given.onQRcodeReady?.();
    });
    login.addEventListener('saoma-error', () => given.onReady?.(false));
    // In WeChat's sign-in this is the frame of the code, so that the page around it stays.
    if (given.self_redirect) login.addEventListener('saoma-approved', (event) => {
      event.preventDefault();
      const frame = document.createElement('iframe');
      frame.src = event.detail.redirect_to;
      frame.title = document.title;
      login.replaceWith(frame);
    });
    return login;
  };

  window.WxLogin = class WxLogin {
    constructor(given) {
      const place = document.getElementById(given.id);
      if (!place) throw new Error(`WxLogin: the page has no element with id ${given.id}`);
      const request = { client_id: given.appid, redirect_uri: decoded(given.redirect_uri), scope: scope(given.scope) };
      if (given.state) request.state = given.state;
      if (given.href) console.info('WxLogin: href is passed over; style the page with --saoma-* and ::part()');
      if (!given.code_challenge) return void place.replaceChildren(link(given, request));
      request.code_challenge = given.code_challenge;
      place.replaceChildren(element(given, request));
      // The element fills itself in once it is defined.
      import(`${origin}/wechat-login.js`).catch(() => given.onReady?.(false));
    }
  };
})();
