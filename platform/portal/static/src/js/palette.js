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
  field.addEventListener("input", () => show(dialog, field));
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
  show(dialog, field);
}

function move(dialog, field, step) {
  const all = stops(dialog, field);
  const next = all.indexOf(document.activeElement) + step;
  all[(next + all.length) % all.length].focus();
}

function stops(dialog, field) {
  return [field, ...dialog.querySelectorAll(".found-line")];
}

// A reply that comes while an arrow has chosen a line replaces the lines, and chooses it again.
async function show(dialog, field) {
  const text = field.value;
  asked?.abort();
  asked = new AbortController();
  const results = dialog.querySelector("[data-palette-results]");
  try {
    const address = `${dialog.querySelector("form").action}?q=${encodeURIComponent(text)}`;
    const answer = await fetch(address, { headers: { "HX-Request": "true" }, signal: asked.signal });
    if (!answer.ok) throw new Error(String(answer.status));
    const lines = await answer.text();
    const chosen = results.contains(document.activeElement) && document.activeElement.href;
    results.innerHTML = lines;
    results.dataset.for = text;
    if (chosen) (stops(dialog, field).find((stop) => stop.href === chosen) ?? field).focus();
  } catch (error) {
    if (error.name !== "AbortError") results.textContent = "The list could not be loaded. Press Enter for the page.";
  }
}
