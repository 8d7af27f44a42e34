// Sends the answer on to the site. A field may be named "submit" and hide the form's own method.
HTMLFormElement.prototype.submit.call(document.forms[0]);
