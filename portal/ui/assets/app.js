// Copy buttons: hidden in the page, shown by this script, so that nothing is
// offered that cannot work. What happened is said aloud as well.
const copies = document.querySelectorAll("[data-copy]");
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
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch {
      getSelection().selectAllChildren(source);
      done = "Selected";
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
  for (const form of document.forms) delete form.dataset.sent;
});
