// Times on the reader's own clock. Where no script runs, what the server wrote stays.

const form = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short' }); // Sweden writes 2026-11-03 09:40.
for (const time of document.querySelectorAll('time')) time.textContent = form.format(new Date(time.dateTime));
