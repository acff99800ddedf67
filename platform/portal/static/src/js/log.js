// A log scrolls to its end until the user scrolls up. It can be paused and filtered. The server sends lines as HTML.
const KEPT = 5000; // lines on the page; older lines are only in the file

export function start() {
  for (const log of document.querySelectorAll("[data-log]")) arm(log);
}

function arm(log) {
  const lines = log.querySelector(".log-lines");
  const pause = log.querySelector("[data-log-pause]");
  const filter = log.querySelector("[data-log-filter]");
  const source = log.querySelector("[data-log-source]");
  const nothing = log.querySelector("[data-log-nothing]");
  const held = [];
  let following = true;
  let paused = false;

  toEnd();
  lines.addEventListener("scroll", () => {
    following = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 32;
  });
  lines.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (!paused) return;
    held.push(event.detail.data);
    event.preventDefault();
    pause.querySelector("span").textContent = "Resume (new lines wait)";
  });
  lines.addEventListener("htmx:afterSettle", settled);
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.querySelector("span").textContent = paused ? "Resume" : "Pause";
    if (!paused) {
      lines.insertAdjacentHTML("beforeend", held.splice(0).join(""));
      following = true;
      settled();
    }
  });
  filter?.addEventListener("input", () => sieve(lines.children));
  source?.addEventListener("change", () => source.form.requestSubmit()); // the server searches more lines than this page has

  function settled() {
    while (lines.childElementCount > KEPT) lines.firstElementChild.remove();
    if (filter?.value || source?.value) sieve(lines.children);
    if (following) toEnd();
  }
  function toEnd() {
    lines.scrollTop = lines.scrollHeight;
  }
  function sieve(rows) {
    const wanted = filter.value.trim().toLowerCase();
    let found = wanted === "";
    for (const row of rows) {
      const other = source?.value && row.querySelector(".log-source")?.textContent.split(".")[0] !== source.value;
      row.hidden = Boolean(other) || (wanted !== "" && !row.textContent.toLowerCase().includes(wanted));
      found ||= !row.hidden && !row.matches(".log-empty");
    }
    nothing.hidden = found;
  }
}
