// A one-time link carries its secret behind the #, which browsers send to nobody: here it is posted, and taken out of the address.

const form = document.querySelector('form.link');
const secret = location.hash.slice(1);
if (secret) {
  history.replaceState(null, '', location.pathname);
  form.elements.code.value = secret;
  form.requestSubmit();
}
