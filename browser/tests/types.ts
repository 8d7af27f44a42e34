// How a site in TypeScript meets the element: this must compile, and what is marked must not.

import type { WechatLoginState } from '../wechat-login.js';

const element = document.createElement('wechat-login');
element.addEventListener('saoma-approved', (event) => {
  const address: string = event.detail.redirect_to;
  const verifier: string | undefined = event.detail.code_verifier;
  event.preventDefault();
  console.log(address, verifier, event.detail.code?.length);
});
document.addEventListener('saoma-scanned', ({ detail }) => console.log(detail.match?.length));
element.addEventListener('click', (event) => console.log(event.clientX));
element.refresh();

const state: WechatLoginState = 'scanned';
// @ts-expect-error: not a state.
const wrong: WechatLoginState = 'open';
// @ts-expect-error: events carry no key.
element.addEventListener('saoma-ready', ({ detail }) => console.log(detail.key));
console.log(state, wrong);
