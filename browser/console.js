// The console's own script. Every page works without it, but for the codes: what stands here is comfort.

// The hour on the operator's clock, for the next page: the server counts by it.
const clock = `saoma-clock=${-new Date().getTimezoneOffset()}`;
if (!document.cookie.split('; ').includes(clock)) {
  const first = !document.cookie.includes('saoma-clock=');
  document.cookie = `${clock}; path=/; max-age=34560000; samesite=strict`;
  // Once, so that the first page is right too; a browser that keeps nothing is not reloaded for ever.
  if (first && document.cookie.includes(clock) && document.querySelector('.console')) location.reload();
}

// A one-time link: what stands behind the # is put into the form and taken out of the address and the history.
const link = document.querySelector('[data-link] input');
const take = () => {
  if (!link || location.hash.length < 2) return;
  link.value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
};
take();
addEventListener('hashchange', take); // Pasted where the page is open already.

for (const button of document.querySelectorAll('[data-copy]')) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener('click', async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text); // Then at least it can be copied by hand.
      return;
    }
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), 2000);
  });
}

// What a plot shows at a place is said above it while a pointer is there; the table has the same for everybody.
for (const figure of document.querySelectorAll('figure')) {
  const tip = figure.querySelector('.tip');
  if (!tip) continue;
  figure.addEventListener('pointerover', ({ target }) => {
    tip.textContent = target.closest('[data-tip]')?.dataset.tip ?? '';
  });
  figure.addEventListener('pointerleave', () => (tip.textContent = ''));
}
