// Says a sentence to screen readers, politely: it waits for a pause.
export function announce(sentence) {
  const place = document.getElementById("announcements");
  if (place && place.textContent !== sentence) place.textContent = sentence;
}

// A fragment that moved by itself names its sentence in data-announce.
document.addEventListener("htmx:sseMessage", (event) => {
  const spoken = event.target.querySelector?.("[data-announce]");
  if (spoken) announce(spoken.dataset.announce);
});
