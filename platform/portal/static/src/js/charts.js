// The charts of an app's metrics share cursor and zoom. The event stream replaces their block of JSON.
import "../css/charts.css";
import uPlot from "uplot";

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const HEIGHT = 184;
const SPARSE = 40;
const BINARY_STEPS = Array.from({ length: 48 }, (_, power) => 2 ** power); // gives round numbers in binary units on the axis
const WHOLE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const CHARTS = {
  requests: {
    value: (number) => `${short(number)}/s`,
    lines: [line("2xx", "live", { fill: true }), line("3xx", "asleep"), line("4xx", "changing"), line("5xx", "failed", { width: 2 })],
  },
  latency: {
    value: (number) => (number < 1000 ? `${short(number)} ms` : `${short(number / 1000)} s`),
    lines: [line("p50", "asleep"), line("p95", "accent", { fill: true }), line("p99", "changing")],
  },
  cpu: {
    value: (number) => `${short(number)} CPU`,
    lines: [line("cpu", "accent", { fill: true, label: "CPU" }), line("cpu_limit", "failed", { dash: [6, 4], label: "Limit" })],
  },
  memory: {
    value: bytes,
    steps: BINARY_STEPS,
    lines: [line("memory", "accent", { fill: true, label: "Memory" }), line("memory_limit", "failed", { dash: [6, 4], label: "Limit" })],
  },
  disk: {
    value: bytes,
    steps: BINARY_STEPS,
    lines: [line("disk", "accent", { fill: true, label: "Disk" }), line("disk_limit", "failed", { dash: [6, 4], label: "Limit" })],
  },
  network: {
    value: (number) => `${bytes(number)}/s`,
    steps: BINARY_STEPS,
    lines: [line("sent", "accent", { label: "Out" }), line("received", "live", { label: "In" }), line("egress", "changing", { label: "Egress" }), line("ingress", "asleep", { label: "Ingress" })],
  },
  restarts: {
    value: (number) => short(number),
    steps: WHOLE_STEPS,
    lines: [line("restarts", "failed", { fill: true, bars: true, label: "Restarts" })],
  },
};

const holder = document.querySelector("[data-columns]");
const places = [...document.querySelectorAll("[data-chart]")];
const zoomBar = document.querySelector("[data-zoom]");
let columns = read();
let plots = [];
let zoomed = false;
let following = false; // true while the range of one chart is applied to the others

if (places.length) {
  draw();
  new MutationObserver(refresh).observe(holder, { childList: true, subtree: true });
  new ResizeObserver(() => plots.forEach((plot, number) => plot.setSize({ width: places[number].clientWidth, height: HEIGHT }))).observe(places[0]);
  // Colours are the page's tokens. A canvas must be redrawn when they change.
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  zoomBar.querySelector("[data-zoom-reset]").addEventListener("click", unzoom);
}
for (const form of document.querySelectorAll("[data-range]")) useLocalTimes(form);
// On a phone the charts come first: the table has one card per row and would be very long.
if (places.length && matchMedia("(max-width: 719px)").matches) document.querySelector("[data-numbers]").open = false;

function line(column, tone, { fill = false, bars = false, dash, width = 1.5, label = column } = {}) {
  return { column, tone, fill, bars, dash, width, label };
}

/** A line that is the same at all times is one number in the block. */
function read() {
  const text = holder?.textContent.trim();
  if (!text) return null;
  const found = JSON.parse(text);
  for (const { column } of Object.values(CHARTS).flatMap((chart) => chart.lines))
    if (!Array.isArray(found[column])) found[column] = found.at.map(() => found[column]);
  return found;
}

function refresh() {
  const fresh = read();
  if (!fresh || fresh.at.length === 0) return;
  columns = fresh;
  plots.forEach((plot, number) => {
    plot.setData(data(CHARTS[places[number].dataset.chart]), false);
    if (zoomed) plot.redraw();
    else plot.setScale("x", range());
  });
}

function draw() {
  plots.forEach((plot) => plot.destroy());
  zoomed = false;
  plots = places.map((place) => plotted(place, CHARTS[place.dataset.chart]));
}

function plotted(place, chart) {
  const ink = colour("ink-3");
  const rule = colour("line");
  const axis = { stroke: ink, font: "12px Geist, sans-serif", grid: { stroke: rule, width: 1 }, ticks: { show: false } };
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    padding: [16, 18, 0, 0],
    cursor: { sync: { key: "metrics" }, drag: { x: true, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, __, top) => [0, top > 0 ? top * 1.1 : 1] } },
    axes: [
      { ...axis, size: 28, space: 72, values: (_, moments) => moments.map(clock) },
      { ...axis, size: 72, space: 36, values: (_, numbers) => numbers.map(chart.value), ...(chart.steps && { incrs: chart.steps }) },
    ],
    series: [
      { label: "Time", value: (_, moment) => (moment == null ? "–" : exact(moment)) },
      ...chart.lines.map((one) => ({
        label: one.label,
        stroke: colour(one.tone),
        width: one.width,
        dash: one.dash,
        fill: one.fill ? colour(one.tone, 0.12) : undefined,
        paths: one.bars ? uPlot.paths.bars({ size: [0.8, 24, 3], align: -1 }) : undefined,
        points: one.bars ? { show: false } : { show: isSparse, filter: lonely, size: 5 },
        value: (_, number) => (number == null ? "–" : chart.value(number)),
      })),
    ],
    hooks: { setScale: [follow], draw: [flags] },
  };
  const plot = new uPlot(options, data(chart), place);
  plot.over.addEventListener("dblclick", unzoom);
  plot.over.addEventListener("mousemove", (event) => plot.over.classList.toggle("on-flag", flagAt(plot, event) !== undefined));
  let pressed = 0;
  plot.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
  plot.over.addEventListener("click", (event) => {
    const flag = Math.abs(event.clientX - pressed) < 4 && flagAt(plot, event); // not at the end of a drag
    if (flag) location.assign(flag[2]);
  });
  plot.setScale("x", range());
  return plot;
}

function data(chart) {
  return [columns.at, ...chart.lines.map((one, number) => (number || one.bars ? withoutNothing(columns[one.column]) : columns[one.column]))];
}

/** With few values in the range, each is drawn as a point: a line through one value would be invisible. */
function isSparse(_, __, first, last) {
  return last - first < SPARSE;
}

/** Between two gaps a single value has no line, so it is drawn as a point. */
function lonely(plot, series, shown) {
  if (shown) return null;
  const values = plot.data[series];
  const found = [];
  for (let at = 0; at < values.length; at += 1) if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
  return found.length ? found : null;
}

/** A status class without responses has no line: a red line at zero would look like errors. */
function withoutNothing(column) {
  return column.some((number) => number) ? column : column.map(() => null);
}

/** The whole selected time range, even if the app is younger. */
function range() {
  const end = columns.end || Math.max(columns.at[columns.at.length - 1] ?? 0, Date.now() / 1000 - 60);
  return { min: end - columns.span, max: end };
}

function follow(plot, scale) {
  if (scale !== "x" || following || plots.length === 0) return;
  following = true;
  const { min, max } = plot.scales.x;
  zoomed = max - min < columns.span * 0.98;
  for (const other of plots) if (other !== plot) other.setScale("x", { min, max });
  showZoom(min, max);
  queueMicrotask(() => (following = false)); // uPlot reports a scale change only after this turn of the event loop
}

function unzoom() {
  zoomed = false;
  queueMicrotask(() => plots[0].setScale("x", range()));
}

/** Shows the zoomed range with a link to it, which also loads more points where the node has them. */
function showZoom(min, max) {
  document.querySelector("[data-zoom-hint]").hidden = zoomed;
  zoomBar.hidden = !zoomed;
  if (!zoomed) return;
  zoomBar.querySelector("[data-zoom-words]").textContent = `${exact(min)} to ${exact(max)}`;
  const link = new URL(location.href);
  link.searchParams.delete("span");
  link.searchParams.set("from", utc(min));
  link.searchParams.set("to", utc(max));
  zoomBar.querySelector("[data-zoom-link]").href = link.href;
}

/** The fields of the custom range are in UTC without scripts, and in the browser's time zone with them. */
function useLocalTimes(form) {
  for (const label of form.querySelectorAll("[data-zone-label]")) label.textContent = label.textContent.replace(" (UTC)", "");
  for (const input of form.querySelectorAll("input[type=datetime-local]")) {
    if (input.value) input.value = local(new Date(`${input.value}Z`));
  }
  form.addEventListener("formdata", ({ formData }) => {
    for (const name of ["from", "to"]) {
      const moment = new Date(formData.get(name));
      if (!Number.isNaN(moment.valueOf())) formData.set(name, utc(moment / 1000));
    }
  });
}

function local(date) {
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function utc(moment) {
  return new Date(moment * 1000).toISOString().slice(0, 19);
}

/** Returns the flag whose label or line is below the pointer. */
function flagAt(plot, event) {
  const x = event.offsetX;
  return columns.flags.findLast(([at, label], number) => {
    const left = plot.valToPos(at, "x");
    const next = columns.flags[number + 1];
    const end = Math.min(left + 8 + label.length * 6, next ? plot.valToPos(next[0], "x") : Infinity);
    return Math.abs(x - left) < 4 || (event.offsetY < 14 && x >= left && x < end);
  });
}

/** A small flag at the time when a release became live or the app was scaled. */
function flags(plot) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("ink-2");
  ctx.font = `${11 * ratio}px Geist, sans-serif`;
  ctx.lineWidth = ratio;
  ctx.setLineDash([]);
  let free = -Infinity; // the right end of the previous flag
  for (const [at, label] of columns.flags) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.globalAlpha = 0.45;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 4 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    if (x < free) continue;
    const wide = ctx.measureText(label).width;
    const left = Math.min(x + 3 * ratio, bbox.left + bbox.width - wide);
    ctx.fillText(label, left, bbox.top - 3 * ratio);
    free = left + wide + 6 * ratio;
  }
  ctx.restore();
}

/** Returns a token's colour for a canvas: the browser resolves light and dark on an element that uses it. */
function colour(token, alpha = 1) {
  const probe = document.createElement("i");
  probe.style.color = alpha === 1 ? `var(--color-${token})` : `color-mix(in srgb, var(--color-${token}) ${alpha * 100}%, transparent)`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function short(number) {
  return number === 0 ? "0" : String(Number(number.toPrecision(number >= 100 ? 4 : 3)));
}

function bytes(number) {
  let left = number;
  let unit = 0;
  while (left >= 1024 && unit < BYTES.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${Number(left.toFixed(1))} ${BYTES[unit]}`;
}

function clock(moment) {
  const date = new Date(moment * 1000);
  const day = columns.span > 86_400 || (date.getHours() === 0 && date.getMinutes() === 0);
  return day ? date.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : date.toTimeString().slice(0, 5);
}

function exact(moment) {
  const date = new Date(moment * 1000);
  if (columns.step < 60) return date.toTimeString().slice(0, 8);
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${date.toTimeString().slice(0, 5)}`;
}
