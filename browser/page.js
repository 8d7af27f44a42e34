// The hosted page's own script: what the element does not do, because it would do it in other people's pages too.

const element = document.querySelector('wechat-login');
const digits = document.querySelector('.digits');
const [ask, shown, output, copy] = ['[data-ask]', '[data-shown]', 'output', '[data-copy]'].map((part) => digits?.querySelector(part));
const label = copy?.textContent;
const none = digits?.querySelector('[data-none]');
const page = document.querySelector('.login');
const save = document.querySelector('.save');
const address = location.pathname + location.search;

const post = (ticket, verb) =>
  fetch(`/api/tickets/${ticket}/${verb}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
    keepalive: true,
  });

// The ticket of this tab, kept under its address, so that a reload does not take a code away that a phone is just looking at.
const kept = {
  read() {
    try {
      const { at, ticket } = JSON.parse(sessionStorage.getItem('saoma-ticket'));
      return at === address ? ticket : null;
    } catch {
      return null;
    }
  },
  write(ticket) {
    try {
      sessionStorage.setItem('saoma-ticket', JSON.stringify({ at: address, ticket }));
    } catch {
      // A browser that keeps nothing gets a fresh code at each reload.
    }
  },
};

async function takeUpAgain() {
  const rendered = element.getAttribute('ticket');
  const ticket = kept.read();
  // An address without a query says nothing of who asks: the kept ticket might be another site's.
  if (!location.search || !ticket || ticket === rendered) return;
  // The code on the screen is watched only after this: a look that stalls must not hold it up.
  const { state } = await fetch(`/api/tickets/${ticket}`, { signal: AbortSignal.timeout?.(4e3) })
    .then((answer) => answer.json())
    .catch(() => ({}));
  if (state !== 'waiting' && state !== 'scanned' && state !== 'approved') return;
  post(rendered, 'cancel').catch(() => {});
  element.setAttribute('ticket', ticket);
  const picture = element.querySelector('img');
  if (picture && state === 'waiting') picture.src = `/api/tickets/${ticket}/code`;
}

async function showDigits() {
  const ticket = element.getAttribute('ticket');
  const answer = await post(ticket, 'digits').catch(() => null);
  const made = answer?.ok && (await answer.json());
  if (ticket !== element.getAttribute('ticket')) return;
  none.textContent = made ? '' : none.dataset.none;
  shown.hidden = !made; // Those of an earlier ticket lead nowhere.
  if (made) {
    digits.dataset.now = '';
    // After it is shown: what is filled while it is hidden is not said aloud.
    output.textContent = made.digits.replace(/^(\d{4})(\d{4})$/, '$1 $2');
    if (ask?.matches(':focus')) copy.focus();
  }
  if (ask) ask.hidden = !shown.hidden;
}
// Digits that did not come are asked for again.
const askAgain = () => {
  if (!digits.hidden && 'now' in digits.dataset && shown.hidden && !document.hidden) showDigits();
};

async function copyDigits() {
  try {
    await navigator.clipboard.writeText(output.textContent.replace(' ', ''));
  } catch {
    getSelection().selectAllChildren(output); // Then at least they can be copied by hand.
    return;
  }
  copy.textContent = copy.dataset.done;
  setTimeout(() => (copy.textContent = label), 2000);
}

// What is only of use while nobody has scanned goes by the state, see page.css.
new MutationObserver(() => (page.dataset.state = element.dataset.state)).observe(element, { attributeFilter: ['data-state'] });

element.addEventListener('saoma-ready', ({ detail }) => {
  kept.write(detail.ticket);
  if (save) save.href = `/api/tickets/${detail.ticket}/code`;
  if (digits) {
    digits.hidden = false;
    if ('now' in digits.dataset) showDigits();
  }
});
for (const end of ['approved', 'denied']) element.addEventListener(`saoma-${end}`, () => kept.write(null));

if (digits) {
  ask?.addEventListener('click', showDigits);
  copy.addEventListener('click', copyDigits);
  for (const name of ['online', 'visibilitychange']) addEventListener(name, askAgain);
}
// A no that no person said: the owner's word is missing, and the page says whose turn it is.
element.addEventListener('saoma-denied', ({ detail }) => {
  page.dataset.denied = '';
  const words = detail.reason && document.querySelector(`[data-reason="${CSS.escape(detail.reason)}"]`);
  if (words) words.hidden = false;
});
element.addEventListener('saoma-ready', () => {
  delete page.dataset.denied;
  for (const words of document.querySelectorAll('[data-reason]')) words.hidden = true;
});
// The way back tells the site that the person was refused, once they are; before that it gives the ticket up.
document.querySelector('[data-back]')?.addEventListener('click', async (event) => {
  const { href } = event.currentTarget;
  const ticket = element.getAttribute('ticket');
  if (!('denied' in page.dataset)) {
    post(ticket, 'cancel').catch(() => {});
    return;
  }
  event.preventDefault();
  const answer = await post(ticket, 'claim').catch(() => null);
  location.assign(answer?.ok ? (await answer.json()).redirect_to : href);
});

await takeUpAgain();
await import('./wechat-login.js');
