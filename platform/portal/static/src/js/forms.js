// Form helpers: unsaved changes, steppers, the URL of a typed name, no double submits, and delete buttons that need the typed name.
export function start() {
  document.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (!step) return;
    const input = step.parentElement.querySelector("input");
    if (step.dataset.step === "up") input.stepUp();
    else input.stepDown();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  document.addEventListener("input", (event) => {
    const { target } = event;
    if (target.matches("[data-slug]")) {
      const slug = target.value.toLowerCase().replace(/[\s_.]+/g, "-").replace(/[^a-z0-9-]/g, "");
      if (slug !== target.value) target.value = slug;
    }
    for (const echo of document.querySelectorAll(`[data-echo="${target.id}"]`)) echo.textContent = target.value || echo.dataset.empty;
    if (target.matches("[data-confirms]")) {
      target.form.querySelector("[data-confirmed]").disabled = target.value !== target.dataset.confirms;
    }
  });
  for (const field of document.querySelectorAll("[data-confirms]")) {
    field.form.querySelector("[data-confirmed]").disabled = field.value !== field.dataset.confirms;
  }
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.matches("[data-upload]")) return;
    const button = event.submitter ?? event.target.querySelector("button[type=submit]");
    // Runs after the browser has read the form, so that the value of the pressed button is sent.
    setTimeout(() => button?.setAttribute("aria-disabled", "true"));
    setTimeout(() => button?.removeAttribute("aria-disabled"), 4000);
  });
  document.querySelector("[aria-invalid=true]")?.focus();
  watchSettings();
}

// Marks a form of the settings while its values differ from the saved ones, and asks before the page is left.
function watchSettings() {
  const body = document.querySelector(".settings-body");
  if (!body) return;
  const saved = new Map([...body.querySelectorAll("form[method=post]")].map((form) => [form, valuesOf(form)]));
  const mark = ({ target }) => {
    if (target.form && saved.has(target.form)) target.form.toggleAttribute("data-unsaved", valuesOf(target.form) !== saved.get(target.form));
  };
  body.addEventListener("input", mark);
  body.addEventListener("change", mark);
  let isSent = false;
  document.addEventListener("submit", () => (isSent = true));
  window.addEventListener("beforeunload", (event) => {
    if (!isSent && body.querySelector("form[data-unsaved]")) event.preventDefault();
  });
}

function valuesOf(form) {
  return JSON.stringify([...new FormData(form)].map(([name, value]) => [name, value instanceof File ? value.name : value]));
}
