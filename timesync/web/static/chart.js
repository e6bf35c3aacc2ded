// Curves: time series with a band, and sigma-tau on logarithmic axes. Drawn by uPlot; the keyboard works as the mouse does.

import { announce, colour } from "./dom.js";
import { instant, logTick, offset, power10, size, ticks } from "./format.js";

const { uPlot } = globalThis;
const WIDTH_MIN = 280;

const clear = (name, part) => `color-mix(in srgb, ${colour(name)} ${part}%, transparent)`;

function axis(more) {
  return { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 },
    font: "12px system-ui, sans-serif", ...more };
}

function keep(plot, place, height) {
  const watcher = new ResizeObserver(() => {
    const width = Math.max(WIDTH_MIN, place.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height });
  });
  watcher.observe(place);
  return watcher;
}

// Arrow keys move the cursor, with Shift the picture; + and - zoom, 0 goes back.
function keys(plot, place, zoom) {
  place.tabIndex = 0;
  place.setAttribute("role", "application"); // the keys are the chart's, and not a screen reader's
  place.setAttribute("aria-roledescription", "chart");
  place.addEventListener("keydown", (event) => {
    const at = plot.data[0];
    if (!at?.length) return;
    if (zoom && event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      zoom(event.key === "ArrowLeft" ? "<" : ">");
      event.preventDefault();
      return;
    }
    const index = plot.cursor.idx ?? at.length - 1;
    const go = { ArrowLeft: index - 1, ArrowRight: index + 1, PageUp: index - 20, PageDown: index + 20, Home: 0, End: at.length - 1 }[event.key];
    if (go !== undefined) {
      const to = Math.max(0, Math.min(at.length - 1, go));
      const value = plot.series.slice(1).map((each, i) => [each, plot.data[i + 1][to]]).find(([each, found]) => each.show && found != null);
      plot.setCursor({ left: plot.valToPos(at[to], "x"), top: value ? plot.valToPos(value[1], value[0].scale) : 10 });
      announce(plot.series.map((each, i) => [each, plot.data[i]?.[to]]).filter(([each, found]) => each.show && found != null)
        .map(([each, found]) => `${each.label} ${each.value(plot, found)}`).join(", "));
      event.preventDefault();
    } else if (zoom && "+-0".includes(event.key)) {
      zoom(event.key);
      event.preventDefault();
    }
  });
}

// Curves against time. `curves`: {label, colour, band: [low, high] (their indices in data), scale, show}. `select(begin, end)` hears of a zoom.
export function timeChart(place, { height, curves, bands = [], unit = offset, select, zoom, draw, sync, ymin, reach }) {
  const options = {
    width: Math.max(WIDTH_MIN, place.clientWidth), height, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"), ms: 1,
    legend: { live: true },
    cursor: { drag: { x: true, y: false, setScale: false }, sync: sync ? { key: sync } : undefined, points: { size: 7 } },
    scales: { x: { time: true }, y: { range: (_plot, low, high) => padded(low, high, ymin, reach?.()) } },
    axes: [axis({ values: timeTicks, space: 84 }), axis({ size: 76, values: (_plot, values) => ticks(values) })],
    series: [{ label: "UTC", value: (_plot, at) => (at == null ? "–" : instant(at * 1e9)) },
      ...curves.map((curve) => ({
        label: curve.label, stroke: curve.colour ? colour(curve.colour) : undefined, width: curve.width ?? 1.6, spanGaps: false,
        points: { show: curve.points ?? false, size: 5 }, value: (_plot, value) => (value == null ? "–" : unit(value)),
        dash: curve.dash, auto: curve.auto ?? true,
      }))],
    bands: bands.map(([high, low, name]) => ({ series: [high, low], fill: clear(name, 20) })),
    hooks: {
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width > 3 && select) select(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
      draw: draw ? [draw] : [],
    },
  };
  const plot = new uPlot(options, [[], ...curves.map(() => [])], place);
  plot.over.addEventListener("dblclick", () => zoom?.("0"));
  keys(plot, place, zoom);
  const watcher = keep(plot, place, height);
  return { plot, destroy() { watcher.disconnect(); plot.destroy(); } };
}

// `more`: values that are in the picture too.
function padded(low, high, least, more = []) {
  if (more.length) return padded(Math.min(low ?? Infinity, ...more), Math.max(high ?? -Infinity, ...more), least);
  if (low === null || high === null || !Number.isFinite(low)) return [-1e-6, 1e-6];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1e-9;
  return [least === undefined ? low - room : least, high + room];
}

function timeTicks(_plot, values, _axis, _space, step) {
  let day = "";
  return values.map((at) => {
    const text = new Date(at * 1000).toISOString();
    const date = text.slice(5, 10);
    const clock = step >= 86400 ? "" : text.slice(11, step >= 60 ? 16 : step >= 1 ? 19 : 23);
    const shown = date === day && clock ? clock : `${clock}\n${date}`.trim();
    day = date;
    return shown;
  });
}

// Where now is, and what lies ahead of it.
export function drawNow(plot, at) {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(at, "x", true);
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("soft");
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.textAlign = "left";
  ctx.fillText("now →", x + 5 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
  ctx.restore();
}

// Lines from top to bottom where something happened, and marks at the foot where polls were lost.
export function drawEvents(plot, events) {
  const { ctx, bbox } = plot;
  const names = { warning: "orange", error: "red", info: "soft" };
  ctx.save();
  ctx.setLineDash([4, 4]);
  ctx.lineWidth = devicePixelRatio;
  for (const event of events) {
    const at = event.at_ns / 1e9;
    if (at < plot.scales.x.min || at > plot.scales.x.max) continue;
    const x = Math.round(plot.valToPos(at, "x", true)) + 0.5;
    ctx.strokeStyle = ctx.fillStyle = colour(names[event.severity] ?? "soft");
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 5 * devicePixelRatio, bbox.top);
    ctx.lineTo(x + 5 * devicePixelRatio, bbox.top);
    ctx.lineTo(x, bbox.top + 8 * devicePixelRatio);
    ctx.fill();
  }
  ctx.restore();
}

const BEYOND = { within: ["blue", 3], possible: ["orange", 8], certain: ["red", 14], none: ["soft", 0] };

// The limit, either sign: its lines, the ground beyond them, and at the foot what can be said at each instant: the taller, the worse.
export function drawLimit(plot, limit, name, judged) {
  const { ctx, bbox } = plot;
  if (!limit) return;
  const foot = bbox.top + bbox.height, right = bbox.left + bbox.width;
  const within = (y) => Math.max(bbox.top, Math.min(foot, y));
  const top = within(plot.valToPos(limit, "y", true)), low = within(plot.valToPos(-limit, "y", true));
  ctx.save();
  if (judged) {
    ctx.fillStyle = clear("red", 9);
    ctx.fillRect(bbox.left, bbox.top, bbox.width, top - bbox.top);
    ctx.fillRect(bbox.left, low, bbox.width, foot - low);
  }
  ctx.strokeStyle = ctx.fillStyle = colour("red");
  ctx.lineWidth = 1.4 * devicePixelRatio;
  ctx.setLineDash([9 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  for (const [y, sign, below] of [[top, "+", true], [low, "−", false]]) {
    if (y <= bbox.top || y >= foot) continue;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
    if (low - top < 26 * devicePixelRatio) continue; // it would stand on the other's
    ctx.fillText(`${sign}${size(limit)} ${name}`, right - 6 * devicePixelRatio, y + (below ? -6 : 16) * devicePixelRatio);
  }
  ctx.setLineDash([]);
  for (const { begin, end, verdict } of judged ?? []) {
    const [name_, height] = BEYOND[verdict];
    const from = Math.max(bbox.left, plot.valToPos(begin, "x", true)), to = Math.min(right, plot.valToPos(end, "x", true));
    if (to <= from) continue;
    ctx.fillStyle = colour(name_);
    ctx.fillRect(from, foot - height * devicePixelRatio, to - from, height * devicePixelRatio);
  }
  ctx.restore();
}

export function drawLosses(plot, parts) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colour("red");
  parts.start_ns.forEach((start, index) => {
    const lost = parts.records[index] - parts.measured[index];
    if (!lost) return;
    const left = Math.max(bbox.left, plot.valToPos(start / 1e9, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(parts.end_ns[index] / 1e9, "x", true));
    const height = (4 + 10 * (lost / parts.records[index])) * devicePixelRatio;
    if (right > left) ctx.fillRect(left, bbox.top + bbox.height - height, Math.max(right - left, devicePixelRatio), height);
  });
  ctx.restore();
}

// Sigma-tau: `curves` {label, colour, dash, tau, dev, lo, hi}; `masks` {label, tau, limit}. One axis of tau for all.
export function logChart(place, { height, curves, masks, unit }) {
  const taus = [...new Set([...curves, ...masks].flatMap((each) => each.tau))].sort((a, b) => a - b);
  const [first, last] = curves.length ? [Math.min(...curves.flatMap((each) => each.tau)) / 1.6, Math.max(...curves.flatMap((each) => each.tau)) * 1.6] : [1, 1e5];
  const column = (each, values) => {
    const by = new Map(each.tau.map((tau, index) => [tau, values[index]]));
    return taus.map((tau) => (by.get(tau) > 0 ? by.get(tau) : by.has(tau) ? null : undefined));
  };
  const text = unit === "s" ? (value) => size(value) : (value) => value.toExponential(2);
  const shape = (each, name) => ({ label: each.label, stroke: colour(name), value: (_plot, value) => (value == null ? "–" : text(value)), spanGaps: true });
  const options = {
    width: Math.max(WIDTH_MIN, place.clientWidth), height,
    cursor: { drag: { x: false, y: false }, points: { size: 8 } },
    scales: { x: { time: false, distr: 3, range: () => [first, last] }, y: { distr: 3, range: (_plot, low, high) => decades(low, high) } },
    axes: [axis({ values: (_plot, values) => values.map(logTick), label: "averaging time τ", labelFont: "12px system-ui, sans-serif", labelSize: 22 }),
      axis({ size: 76, values: (_plot, values) => values.map(unit === "s" ? logTick : (value) => (value && Math.abs(Math.log10(value) % 1) < 1e-9 ? power10(Math.round(Math.log10(value))) : "")) })],
    series: [{ label: "τ", value: (_plot, tau) => (tau == null ? "–" : `${+tau.toPrecision(4)} s`) },
      ...curves.map((each) => ({ ...shape(each, each.colour), width: 2, dash: each.dash, points: { show: true, size: 7, fill: colour("panel"), width: 2 } })),
      ...masks.map((each, index) => ({ ...shape(each, "soft"), width: 2, dash: [[10, 5], [3, 4], [12, 4, 3, 4], [2, 2]][index % 4], points: { show: false } }))],
    hooks: { draw: [(plot) => drawBars(plot, curves)] },
  };
  const plot = new uPlot(options, [taus, ...curves.map((each) => column(each, each.dev)), ...masks.map((each) => column(each, each.limit))], place);
  keys(plot, place, null);
  const watcher = keep(plot, place, height);
  return { plot, destroy() { watcher.disconnect(); plot.destroy(); } };
}

const decades = (low, high) => (low > 0 ? [10 ** Math.floor(Math.log10(low) - 0.05), 10 ** Math.ceil(Math.log10(high) + 0.05)] : [1e-12, 1e-3]);

function drawBars(plot, curves) {
  const { ctx } = plot;
  ctx.save();
  ctx.setLineDash([]);
  ctx.lineWidth = 1.4 * devicePixelRatio;
  curves.forEach((each, number) => {
    if (!plot.series[number + 1].show) return;
    ctx.strokeStyle = colour(each.colour);
    each.tau.forEach((tau, index) => {
      const [low, high] = [each.lo[index], each.hi[index]];
      if (!(low > 0) || !(high > 0)) return;
      const x = plot.valToPos(tau, "x", true), top = plot.valToPos(high, "y", true), foot = plot.valToPos(low, "y", true), cap = 4 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, top); ctx.lineTo(x, foot);
      ctx.moveTo(x - cap, top); ctx.lineTo(x + cap, top);
      ctx.moveTo(x - cap, foot); ctx.lineTo(x + cap, foot);
      ctx.stroke();
    });
  });
  ctx.restore();
}
