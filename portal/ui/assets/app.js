// Copy buttons: hidden in the page, shown by this script, so that nothing is
// offered that cannot work. What happened is said aloud as well.
const copies = document.querySelectorAll("[data-copy]");
const { copied, selected } = document.currentScript.dataset;
let status;
if (copies.length && navigator.clipboard) {
  status = document.createElement("p");
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  (document.querySelector("main") ?? document.body).append(status);
}
for (const button of copies) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !status) continue;
  const label = button.textContent, name = button.getAttribute("aria-label");
  button.hidden = false;
  button.addEventListener("click", async () => {
    let done = copied;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch {
      getSelection().selectAllChildren(source);
      done = selected;
    }
    button.textContent = status.textContent = done;
    button.removeAttribute("aria-label"); // the name is what one sees (WCAG 2.5.3)
    setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
      if (name) button.setAttribute("aria-label", name);
    }, 2000);
  });
}

// Forms are sent once: a second click on a slow answer would spend a one-time
// step twice. Coming back with the Back button, or waiting, makes the form
// usable again.
addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, 5000);
});
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    if (form.dataset.webauthn) form.elements.answer.value = ""; // each answer serves once
  }
});

// Security keys and passkeys: the form carries the question, its button asks the
// browser for the answer. Where a key cannot be used, the page says so.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
for (const form of document.querySelectorAll("form[data-webauthn]")) {
  const problem = form.querySelector("[data-problem]"), answer = form.elements.answer;
  form.addEventListener("submit", async (event) => {
    if (answer.value) return; // the second time, with the answer
    event.preventDefault();
    event.stopImmediatePropagation();
    if (form.dataset.asking) return; // the browser asks one question at a time
    form.dataset.asking = "1";
    problem.hidden = true;
    try {
      const options = JSON.parse(form.dataset.options).publicKey;
      options.challenge = bytes(options.challenge);
      if (options.user) options.user.id = bytes(options.user.id);
      for (const list of [options.excludeCredentials, options.allowCredentials]) {
        for (const credential of list ?? []) credential.id = bytes(credential.id);
      }
      const credential = await navigator.credentials[form.dataset.webauthn]({ publicKey: options });
      const r = credential.response, out = { clientDataJSON: text(r.clientDataJSON) };
      if (r.attestationObject) {
        out.attestationObject = text(r.attestationObject);
        out.transports = r.getTransports?.() ?? [];
      } else {
        out.authenticatorData = text(r.authenticatorData);
        out.signature = text(r.signature);
        if (r.userHandle) out.userHandle = text(r.userHandle);
      }
      answer.value = JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response: out });
      HTMLFormElement.prototype.requestSubmit.call(form);
    } catch (error) {
      problem.textContent = error.name === "InvalidStateError" ? form.dataset.registered
        : error.name === "NotAllowedError" ? form.dataset.dismissed
        : form.dataset.unusable;
      problem.hidden = false;
    } finally {
      delete form.dataset.asking;
    }
  });
}
