// The four charts of an app's metrics share cursor and zoom. The event stream replaces their block of JSON.
import "../css/charts.css";
import uPlot from "uplot";

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const HEIGHT = 184;
const SPARSE = 40;
const CHARTS = {
  requests: {
    value: (number) => `${short(number)}/s`,
    lines: [line("2xx", "live", { fill: true }), line("3xx", "asleep"), line("4xx", "changing"), line("5xx", "failed", { width: 2 })],
  },
  latency: {
    value: (number) => (number < 1000 ? `${short(number)} ms` : `${short(number / 1000)} s`),
    lines: [line("p50", "asleep"), line("p95", "accent", { fill: true }), line("p99", "changing")],
  },
  cpu: { value: (number) => `${short(number)} CPU`, lines: [line("cpu", "accent", { fill: true, label: "CPU" })] },
  memory: {
    value: bytes,
    steps: Array.from({ length: 48 }, (_, power) => 2 ** power), // gives round numbers in binary units on the axis
    lines: [
      line("memory", "accent", { fill: true, label: "Memory" }),
      line("memory_limit", "failed", { dash: [6, 4], label: "Limit" }),
    ],
  },
};

const holder = document.querySelector("[data-columns]");
const places = [...document.querySelectorAll("[data-chart]")];
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
}

function line(column, tone, { fill = false, dash, width = 1.5, label = column } = {}) {
  return { column, tone, fill, dash, width, label };
}

function read() {
  const text = holder?.textContent.trim();
  return text ? JSON.parse(text) : null;
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
    padding: [14, 8, 0, 0],
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
        points: { show: isSparse, size: 5 },
        value: (_, number) => (number == null ? "–" : chart.value(number)),
      })),
    ],
    hooks: { setScale: [follow], draw: [flags] },
  };
  const plot = new uPlot(options, data(chart), place);
  plot.over.addEventListener("dblclick", unzoom);
  plot.setScale("x", range());
  return plot;
}

function data(chart) {
  return [columns.at, ...chart.lines.map((one, number) => (number ? withoutNothing(columns[one.column]) : columns[one.column]))];
}

/** With few values in the range, each is drawn as a point: a line through one value would be invisible. */
function isSparse(_, __, first, last) {
  return last - first < SPARSE;
}

/** A status class without responses has no line: a red line at zero would look like errors. */
function withoutNothing(column) {
  return column.some((number) => number) ? column : column.map(() => null);
}

/** The whole selected time range, even if the app is younger. */
function range() {
  const end = Math.max(columns.at[columns.at.length - 1] ?? 0, Date.now() / 1000 - 60);
  return { min: end - columns.span, max: end };
}

function follow(plot, scale) {
  if (scale !== "x" || following || plots.length === 0) return;
  following = true;
  const { min, max } = plot.scales.x;
  zoomed = max - min < columns.span * 0.98;
  for (const other of plots) if (other !== plot) other.setScale("x", { min, max });
  queueMicrotask(() => (following = false)); // uPlot reports a scale change only after this turn of the event loop
}

function unzoom() {
  zoomed = false;
  queueMicrotask(() => plots[0].setScale("x", range()));
}

/** A small flag at the time when a release became live. */
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
  if (columns.span <= 3600) return date.toTimeString().slice(0, 8);
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${date.toTimeString().slice(0, 5)}`;
}
