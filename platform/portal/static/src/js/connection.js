// One event stream per page. A lost stream resumes after its last event, and the page shows a notice until then.
import { announce } from "./announce.js";

const lastSeen = new Map(); // URL of the stream -> id of its last event
let lost = false;

window.htmx.createEventSource = (address) => {
  const url = new URL(address, location.href);
  const after = lastSeen.get(address);
  if (after) url.searchParams.set("after", after);
  const source = new EventSource(url);
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.OPEN) setState("lost", "Connection lost. Reconnecting…");
  });
  return source;
};

document.addEventListener("htmx:sseOpen", () => {
  if (lost) announce("Connected again.");
  setState("open", "Following");
});
document.addEventListener("htmx:sseClose", () => setState("closed", "Complete"));
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const stream = event.target.closest("[sse-connect]");
  if (stream && event.detail.lastEventId) lastSeen.set(stream.getAttribute("sse-connect"), event.detail.lastEventId);
});
// A question that is open stays open: the part around it is not replaced meanwhile.
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  if (event.target.querySelector("details.ask[open]")) event.preventDefault();
});
window.addEventListener("pagehide", () => lastSeen.clear());

function setState(state, words) {
  if (state === "lost" && !lost) announce(`${words}.`);
  lost = state === "lost";
  for (const notice of document.querySelectorAll("[data-connection]")) {
    notice.dataset.state = state;
    notice.textContent = words;
  }
}
