// The finder in a dialog: Ctrl-K opens it, arrows choose, Enter follows. Without scripts its button
// is a link to the same list as a page.
let asked;

export function start() {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = dialog.querySelector("input");
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open(dialog, field);
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the space around the panel
    if (event.target.closest("[data-palette]") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      open(dialog, field);
    }
  });
  field.addEventListener("input", () => show(dialog, field.value));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(dialog, field, event.key === "ArrowDown" ? 1 : -1);
    }
  });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    const first = dialog.querySelector(".found-line");
    if (first && first.closest("[data-for]").dataset.for === field.value) {
      event.preventDefault();
      first.click();
    }
  });
}

function open(dialog, field) {
  if (!dialog.open) dialog.showModal();
  field.select();
  show(dialog, field.value);
}

function move(dialog, field, step) {
  const stops = [field, ...dialog.querySelectorAll(".found-line")];
  const next = stops.indexOf(document.activeElement) + step;
  stops[(next + stops.length) % stops.length].focus();
}

async function show(dialog, text) {
  asked?.abort();
  asked = new AbortController();
  const results = dialog.querySelector("[data-palette-results]");
  try {
    const address = `${dialog.querySelector("form").action}?q=${encodeURIComponent(text)}`;
    const answer = await fetch(address, { headers: { "HX-Request": "true" }, signal: asked.signal });
    if (!answer.ok) throw new Error(String(answer.status));
    results.innerHTML = await answer.text();
    results.dataset.for = text;
  } catch (error) {
    if (error.name !== "AbortError") results.textContent = "The list could not be loaded. Press Enter for the page.";
  }
}
