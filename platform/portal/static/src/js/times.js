// Updates relative times such as "3 min ago" in the words of templatetags/amounts.py, and shows absolute times in
// the browser's time zone. Without scripts, absolute times are in UTC.
const UNITS = [
  [86400 * 365, "y"],
  [86400 * 30, "mo"],
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
];
const DAY = { day: "numeric", month: "short", year: "numeric" };
const FORMATS = {
  day: format(DAY),
  minute: format({ ...DAY, hour: "2-digit", minute: "2-digit", timeZoneName: "short" }),
  second: format({ ...DAY, hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" }),
  clock: format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
};

export function start() {
  localize(document.body);
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) localize(node);
  }).observe(document.body, { childList: true, subtree: true });
  setInterval(refresh, 10_000);
}

function format(options) {
  return new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...options });
}

function localize(part) {
  if (part.matches("time[datetime]")) show(part);
  for (const element of part.querySelectorAll("time[datetime]")) show(element);
}

function show(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.valueOf())) return;
  if (element.closest(".log-day")) return; // the days of a log change at midnight in UTC
  const kind = element.closest(".log-lines") ? "clock" : element.dataset.local;
  if (kind) element.textContent = FORMATS[kind].format(moment);
  if (element.title) element.title = FORMATS.second.format(moment);
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
