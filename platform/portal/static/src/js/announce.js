// Announces a sentence to screen readers with the priority "polite", after current speech.
export function announce(sentence) {
  const place = document.getElementById("announcements");
  if (place && place.textContent !== sentence) place.textContent = sentence;
}

// A live fragment has its sentence in data-announce. A sentence that was already announced is not repeated.
const said = new WeakMap();

document.addEventListener("htmx:sseBeforeMessage", (event) => said.set(event.target, sentenceOf(event.target)));
document.addEventListener("htmx:sseMessage", (event) => {
  const sentence = sentenceOf(event.target);
  if (sentence && sentence !== said.get(event.target)) announce(sentence);
});

function sentenceOf(element) {
  return element.querySelector?.("[data-announce]")?.dataset.announce;
}
