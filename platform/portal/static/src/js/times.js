// Updates relative times such as "3 min ago" while the page is open, in the words of templatetags/amounts.py.
const UNITS = [
  [86400 * 365, "y"],
  [86400 * 30, "mo"],
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];

export function start() {
  setInterval(refresh, 10_000);
}

function refresh() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000;
    const words = element.dataset.relative === "ago" ? ago(seconds) : span(seconds);
    if (element.textContent !== words) element.textContent = words;
  }
}

function ago(seconds) {
  return seconds < 60 ? "just now" : `${span(seconds)} ago`;
}

function span(seconds) {
  for (const [size, word] of UNITS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${word}`;
  }
  return "under a minute";
}
