// One event stream a page. A stream that was lost resumes after the last event it brought, and the page says so meanwhile.
import { announce } from "./announce.js";

const lastSeen = new Map(); // address of the stream -> id of its last event
let lost = false;
let gone = false;

window.htmx.createEventSource = (address) => {
  const url = new URL(address, location.href);
  const after = lastSeen.get(address);
  if (after) url.searchParams.set("after", after);
  const source = new EventSource(url);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.OPEN || gone) return;
    setState("lost", "Connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) lookForThePage(address);
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
window.addEventListener("pagehide", () => lastSeen.clear());

// A browser does not tell why a stream was refused. Where the page itself is no more, as after its app was deleted, no stream will come back:
// one that was deleted before the stream was open, or while it was lost, has nobody else to say so.
async function lookForThePage(address) {
  const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" }).catch(() => undefined); // out of reach: it is tried again
  if (answer?.status !== 404 || gone) return;
  gone = true;
  const stream = document.querySelector(`[sse-connect="${CSS.escape(address)}"]`);
  stream.removeAttribute("sse-connect"); // ends its tries
  const place = stream.querySelector("[sse-swap=gone]");
  place.replaceChildren(place.querySelector("template").content.cloneNode(true));
  announce(place.querySelector("[data-announce]").dataset.announce);
  setState("closed", "Complete");
}

function setState(state, words) {
  if (state === "lost" && !lost) announce(`${words}.`);
  lost = state === "lost";
  for (const notice of document.querySelectorAll("[data-connection]")) {
    notice.dataset.state = state;
    notice.textContent = words;
  }
}
