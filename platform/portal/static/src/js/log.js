// A log scrolls to its end until the user scrolls up. It can be paused and filtered. The server sends lines as HTML.
const KEPT = 5000; // lines on the page; older lines are only in the file

export function start() {
  for (const log of document.querySelectorAll("[data-log]")) arm(log);
}

function arm(log) {
  const lines = log.querySelector(".log-lines");
  const pause = log.querySelector("[data-log-pause]");
  const search = document.querySelector("[data-log-search]");
  const filter = search?.querySelector("[data-log-filter]") ?? log.querySelector("[data-log-filter]");
  const copy = log.querySelector("[data-log-copy]");
  const nothing = log.querySelector("[data-log-nothing]");
  const held = [];
  let following = !lines.matches("[data-log-still]");
  let paused = false;

  if (!showNamed(lines)) toEnd();
  lines.addEventListener("click", (event) => nameLine(lines, event));
  window.addEventListener("hashchange", () => showNamed(lines));
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
  search?.addEventListener("change", (event) => event.target !== filter && search.requestSubmit()); // the server searches all kept lines
  copy?.addEventListener("click", async () => {
    const rows = [...lines.children].filter((row) => !row.hidden && !row.matches(".log-empty, .log-day"));
    await navigator.clipboard.writeText(rows.map((row) => [...row.children].map((part) => part.textContent).join(" ")).join("\n"));
    copy.querySelector("span").textContent = `${rows.length} lines copied`;
    setTimeout(() => (copy.querySelector("span").textContent = "Copy"), 2000);
  });

  function settled() {
    while (lines.childElementCount > KEPT) lines.firstElementChild.remove();
    if (filter?.value) sieve(lines.children);
    if (following) toEnd();
  }
  function toEnd() {
    lines.scrollTop = lines.scrollHeight;
  }
  function sieve(rows) {
    const wanted = filter.value.trim().toLowerCase();
    let found = wanted === "";
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      found ||= !row.hidden && !row.matches(".log-empty");
    }
    nothing.hidden = found;
  }
}

// Scrolls to the line that the address names, such as #L123. A line of another part of the log is loaded.
function showNamed(lines) {
  const given = new URLSearchParams(location.search).get("line");
  const number = /^#L(\d{1,9})$/.exec(location.hash)?.[1] ?? /^\d{1,9}$/.exec(given ?? "")?.[0];
  if (!number || !lines.querySelector(".log-number")) return false;
  const row = lines.querySelector(`#L${number}`);
  if (row) mark(lines, row);
  else if (given !== number) location.replace(`?line=${number}#L${number}`);
  return Boolean(row);
}

// A click on a line, or on its number, puts the line's address into the address bar.
function nameLine(lines, event) {
  const row = event.target.closest("li[id]");
  const link = event.target.closest("a");
  const isOther = link && !link.matches(".log-number");
  if (!row || isOther || event.ctrlKey || event.metaKey || event.shiftKey || !getSelection().isCollapsed) return;
  event.preventDefault();
  if (new URLSearchParams(location.search).has("q")) location.assign(row.querySelector(".log-number").href);
  else {
    history.replaceState(null, "", row.querySelector(".log-number").href);
    mark(lines, row);
  }
}

function mark(lines, row) {
  for (const other of lines.querySelectorAll(".is-this")) other.classList.remove("is-this");
  row.classList.add("is-this");
  const box = row.getBoundingClientRect();
  const frame = lines.getBoundingClientRect();
  if (box.top < frame.top || box.bottom > frame.bottom) lines.scrollTop += box.top - frame.top - frame.height / 3;
}
