// Says a sentence to screen readers, politely: it waits for a pause.
export function announce(sentence) {
  const place = document.getElementById("announcements");
  if (place && place.textContent !== sentence) place.textContent = sentence;
}

// A fragment that moves by itself names its sentence in data-announce; what the page said already is not said again.
const said = new WeakMap();

document.addEventListener("htmx:sseBeforeMessage", (event) => said.set(event.target, sentenceOf(event.target)));
document.addEventListener("htmx:sseMessage", (event) => {
  const sentence = sentenceOf(event.target);
  if (sentence && sentence !== said.get(event.target)) announce(sentence);
});

function sentenceOf(element) {
  return element.querySelector?.("[data-announce]")?.dataset.announce;
}
