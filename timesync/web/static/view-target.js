// One target: its offset with the bound, its delay, what was lost and what happened; zoom, hover, a range of time, live.

import { drawEvents, drawLimit, drawLosses, timeChart } from "./chart.js";
import { h, pick, say } from "./dom.js";
import { age, duration, instant, offset, size, words } from "./format.js";
import { eventList } from "./view-events.js";
import { VERDICTS, judge, stateMark } from "./view-network.js";
import * as store from "./store.js";

const RANGES = [[300, "5 min"], [3600, "1 h"], [21600, "6 h"], [86400, "24 h"], [604800, "7 d"], [2592000, "30 d"], [31536000, "1 year"]];
const REFRESH_MS = 20_000;
const MOST_LIVE = 6000;

export function target(root, { name, search }) {
  if (!store.targets.has(name)) { root.append(h("p", { class: "empty" }, "There is no such target.")); return () => {}; }
  const view = new TargetView(root, name, search);
  return () => view.close();
}

class TargetView {
  constructor(root, name, search) {
    this.name = name;
    this.last = Number(search.get("range")) || 300;
    this.fixed = search.has("from") ? [Number(search.get("from")), Number(search.get("to"))] : null;
    this.fit = "bound";
    this.gap = 4;
    this.limit = null;
    this.data = [[], [], [], [], [], []];
    this.parts = { start_ns: [], end_ns: [], records: [], measured: [] };
    this.events = [];
    this.judged = []; // spans of one verdict: {begin, end, verdict}
    this.build(root);
    this.off = store.listen((kind, data) => this.hear(kind, data));
    this.timer = setInterval(() => { if (!this.fixed) this.load(); }, REFRESH_MS);
    this.update();
    this.load();
  }

  build(root) {
    this.facts = h("dl", { class: "facts" });
    this.trouble = h("p", { class: "trouble", hidden: true });
    this.note = h("p", { class: "note" });
    this.offsetPlace = h("div", { class: "chart", id: "offset-chart" });
    this.delayPlace = h("div", { class: "chart", id: "delay-chart", "aria-label": "Delay" });
    this.csv = h("a", { class: "button", download: true }, "CSV");
    this.list = h("div");
    this.ranges = h("div", { class: "buttons", role: "group", "aria-label": "Range of time" }, RANGES.map(([seconds, text]) =>
      h("button", { type: "button", "data-range": seconds, onclick: () => this.choose(seconds) }, text)));
    root.append(
      h("section", { class: "panel" },
        h("div", { class: "head" }, h("h1", {}, this.name), this.mark = h("span", { class: "state" }),
          h("div", { class: "right" }, pick("Target", [...store.targets.keys()].map((each) => [each, each]), this.name,
            (each) => { location.hash = `#/target/${encodeURIComponent(each)}?range=${this.last}`; }),
          h("a", { class: "button", href: `#/holdover/${encodeURIComponent(this.name)}` }, "Holdover"),
          h("a", { class: "button", href: `#/stability/${encodeURIComponent(this.name)}` }, "Stability"),
          h("a", { class: "button", href: `#/traceability/${encodeURIComponent(this.name)}` }, "Traceability"))),
        this.trouble, this.facts),
      h("section", { class: "panel" },
        h("div", { class: "head" }, this.title = h("h2", {}, "Offset"), this.ranges,
          h("div", { class: "buttons", role: "group", "aria-label": "Zoom and move" }, [["<", "◂", "Earlier"], ["+", "+", "Zoom in"], ["-", "−", "Zoom out"], [">", "▸", "Later"]].map(([key, sign, label]) =>
            h("button", { type: "button", "aria-label": label, title: label, "data-zoom": key, onclick: () => this.zoom(key) }, sign))),
          h("div", { class: "right" }, pick("Fit to", [["bound", "the bound"], ["offset", "the offset"], ["limit", "the limit"]], this.fit, (value) => { this.fit = value; this.draw(); }), this.csv)),
        this.offsetPlace, this.note, this.judgedNote = h("p", { class: "note" })),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Delay"), h("span", { class: "note" }, "red at the foot: polls without a measurement")), this.delayPlace),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Events of this time")), this.list));
    const zoom = (key) => this.zoom(key);
    const select = (begin, end) => this.fix(begin, end);
    this.offsetChart = timeChart(this.offsetPlace, {
      height: 340, select, zoom, sync: "target", draw: (plot) => { drawLimit(plot, this.limit, this.limitName, this.judged); drawEvents(plot, this.events); },
      reach: () => (this.fit === "limit" && this.limit ? [-this.limit, this.limit] : []),
      curves: [
        { label: "− bound", colour: "blue", width: 0.6 }, { label: "+ bound", colour: "blue", width: 0.6 },
        { label: "offset", colour: "blue", width: 1.8 }, { label: "without claim", colour: "orange", width: 1.4, dash: [4, 3] },
      ],
      bands: [[2, 1, "blue"]],
    });
    this.delayChart = timeChart(this.delayPlace, {
      height: 190, select, zoom, sync: "target", unit: size, ymin: 0, draw: (plot) => drawLosses(plot, this.parts), curves: [{ label: "delay", colour: "violet" }],
    });
  }

  span() {
    if (this.fixed) return this.fixed;
    const end = store.now();
    return [Math.max(end - this.last, Math.min(store.known.oldest, end - 30)), end]; // not what was before anything was measured
  }

  choose(seconds) {
    this.fixed = null;
    this.last = seconds;
    history.replaceState(null, "", `#/target/${encodeURIComponent(this.name)}?range=${seconds}`);
    this.load();
  }

  fix(begin, end) {
    if (end - begin < 0.01) return;
    this.fixed = [begin, end];
    this.draw(); // at once, with what is here; the finer answer comes
    history.replaceState(null, "", `#/target/${encodeURIComponent(this.name)}?from=${begin.toFixed(3)}&to=${end.toFixed(3)}`);
    this.load();
  }

  zoom(key) {
    const [begin, end] = this.span();
    const middle = (begin + end) / 2, half = (end - begin) / 2;
    if (key === "0") this.choose(this.last);
    else if (key === "+") this.fix(middle - half / 2, middle + half / 2);
    else if (key === "<") this.fix(begin - half, end - half);
    else if (key === ">") { const to = Math.min(end + half, store.now()); this.fix(to - 2 * half, to); }
    else this.fix(middle - half * 2, Math.min(middle + half * 2, store.now()));
  }

  async load() {
    const [begin, end] = this.span();
    const asked = (this.asked = Symbol("question"));
    this.offsetPlace.setAttribute("aria-busy", "true");
    const range = { target: this.name, start_ns: BigInt(Math.floor(begin * 1e3)) * 1000000n, end_ns: BigInt(Math.ceil(end * 1e3)) * 1000000n };
    const points = Math.max(100, Math.min(2000, Math.round(this.offsetPlace.clientWidth)));
    this.csv.href = `/api/v1/series?${store.query({ ...range, points, format: "csv" })}`;
    try {
      const [series, happened] = await Promise.all([
        store.ask(`series?${store.query({ ...range, points })}`),
        store.ask(`events?${store.query({ start_ns: range.start_ns, end_ns: range.end_ns, limit: 300 })}`)]);
      if (this.asked !== asked) return; // a newer question is under way
      this.take(series);
      this.events = happened.events.filter((each) => each.target === null || each.target === this.name);
      say(this.note, series.records === 0 ? "Nothing is on record for this time."
        : series.thinned ? `${series.records.toLocaleString("en")} records, drawn by their extremes: no peak is left out.` : `${series.records.toLocaleString("en")} records, all drawn.`);
    } catch (error) {
      if (this.asked === asked) say(this.note, error.message);
    }
    if (this.asked !== asked) return;
    this.offsetPlace.removeAttribute("aria-busy");
    this.draw();
    this.list.replaceChildren(eventList(this.events, "Nothing happened in this time."));
  }

  take({ columns, parts }) {
    this.parts = parts;
    this.data = [[], [], [], [], [], []];
    const interval = store.targets.get(this.name)?.interval_s ?? 1;
    const width = parts.start_ns.length ? (parts.end_ns[0] - parts.start_ns[0]) / 1e9 : 0;
    const gap = (this.gap = 4 * Math.max(interval, width));
    columns.at_ns.forEach((at_ns, index) => {
      const at = at_ns / 1e9;
      if (this.data[0].length && at - this.data[0].at(-1) > gap) this.push(at - gap / 2, null, null, null, null);
      this.push(at, columns.time_error_s[index], columns.time_error_bound_s[index], columns.offset_s[index], columns.delay_s[index]);
    });
  }

  push(at, error, bound, fromClock, delay) {
    const [ats, low, high, middle, unclaimed, delays] = this.data;
    ats.push(at);
    low.push(error === null ? null : error - bound);
    high.push(error === null ? null : error + bound);
    middle.push(error);
    unclaimed.push(error === null ? fromClock : null);
    delays.push(delay);
  }

  draw() {
    const [begin, end] = this.span();
    const [ats, low, high, middle, unclaimed, delays] = this.data;
    const claimed = middle.some((value) => value !== null);
    const { plot } = this.offsetChart;
    // Offsets from the probe's clock have a zero of their own: they are drawn only where there is nothing else.
    const other = claimed ? unclaimed.map(() => null) : unclaimed;
    plot.series[1].auto = plot.series[2].auto = this.fit !== "offset";
    this.weigh(end);
    plot.batch(() => { plot.setData([ats, low, high, middle, other], true); plot.setScale("x", { min: begin, max: end }); });
    const delayPlot = this.delayChart.plot;
    delayPlot.batch(() => { delayPlot.setData([ats, delays], true); delayPlot.setScale("x", { min: begin, max: end }); });
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(!this.fixed && Number(button.dataset.range) === this.last));
    this.describe(claimed);
  }

  // What the limit says of each instant of the picture, joined into spans.
  weigh(end) {
    const { limit_s: limit = null, limit: name } = store.targets.get(this.name) ?? {};
    [this.limit, this.limitName, this.judged] = [limit, name, []];
    say(this.judgedNote, limit === null ? "No limit is configured for this target." : "");
    if (limit === null) return;
    const [ats, low, , middle] = this.data;
    const held = { within: 0, possible: 0, certain: 0, none: 0 };
    ats.forEach((at, index) => {
      const next = ats[index + 1] ?? Math.min(end, at + this.gap / 4);
      const verdict = middle[index] === null ? "none" : judge(middle[index], middle[index] - low[index], limit);
      held[verdict] += next - at;
      const last = this.judged.at(-1);
      if (last?.verdict === verdict) last.end = next;
      else this.judged.push({ begin: at, end: next, verdict });
    });
    const whole = Object.values(held).reduce((sum, each) => sum + each, 0);
    const shares = Object.entries(held).filter(([, each]) => each > 0).map(([verdict, each]) => `${VERDICTS[verdict][0]} ${VERDICTS[verdict][1]} ${(100 * each / whole).toFixed(1)} %`);
    say(this.judgedNote, `By ${name}, at the foot, the taller the worse: ${shares.join(", ") || "nothing yet"} of the time shown.`);
  }

  describe(claimed) {
    const values = this.data[claimed ? 3 : 4].filter((value) => value !== null);
    const [begin, end] = this.span();
    const text = values.length ? `from ${offset(Math.min(...values.slice(-50000)))} to ${offset(Math.max(...values.slice(-50000)))}, last ${offset(values.at(-1))}` : "no values";
    this.offsetPlace.setAttribute("aria-label", `Offset of ${this.name} in the ${duration(end - begin)} to ${instant(end * 1e9)} UTC: ${text}. `
      + "Arrow keys read single values, with Shift they move the picture; plus and minus zoom, 0 goes back.");
  }

  hear(kind, data) {
    if (kind === "event" && (data.target === null || data.target === this.name)) {
      this.events.unshift(data);
      this.list.replaceChildren(eventList(this.events, ""));
    }
    if (kind !== "targets") return;
    const found = data.targets.find((each) => each.target === this.name);
    if (found) this.update();
    if (this.fixed) return;
    const at = found?.at_ns / 1e9;
    if (found?.at_ns && this.data[0].length < MOST_LIVE && !(at <= this.data[0].at(-1))) {
      this.push(at, found.time_error_s, found.time_error_bound_s, found.offset_s, found.delay_s);
    }
    this.draw();
  }

  update() {
    const each = store.targets.get(this.name);
    if (!each) return;
    const { level, text } = stateMark(each);
    this.mark.dataset.level = level;
    say(this.mark, text);
    this.trouble.hidden = !each.trouble;
    if (each.trouble) say(this.trouble, `${each.trouble.meaning}${each.trouble.detail ? ` (${each.trouble.detail})` : ""}. What to do: ${each.trouble.remedy}.`);
    const claimed = each.time_error_s !== null;
    say(this.title, claimed ? `Offset from ${each.realises}` : "Offset from this probe's clock");
    const verdict = VERDICTS[each.verdict ?? "none"];
    const losses = Object.entries(each.losses).map(([reason, count]) => `${count} ${words(reason)}`).join(", ");
    const facts = [
      ["Offset", offset(claimed ? each.time_error_s : each.offset_s), "big"], ["Bound", `± ${size(claimed ? each.time_error_bound_s : each.bound_s)}`, "big"],
      ["Limit", each.limit === null ? "none" : `${verdict[0]} ${verdict[1]}: ${each.limit}, ± ${size(each.limit_s)}`],
      ["Standard uncertainty u", size(each.time_error_u_s)], ["Delay", size(each.delay_s)], ["Timestamps", each.timestamping ?? "–"],
      ["Reference", each.is_reference ? `realises ${each.realises ?? "–"}` : `${each.reference ?? "none"}${each.quality ? `, ${each.quality}` : ""}`],
      [each.clock_class === null ? "Stratum" : "clockClass", String(each.clock_class ?? each.stratum ?? "–")], ["Address", `${each.kind} ${each.address}`],
      ["Polled", `every ${duration(each.interval_s)}, ${each.replies} of ${each.sent} answered`], ["Lost", losses || "none"],
      ["Newest", each.at_ns ? `${age(store.now() - each.at_ns / 1e9)} ago` : "–"],
    ];
    if (each.simulated_as) facts.push(["Simulated as", each.simulated_as], ["True offset", each.true_s === null || !claimed ? "–" : offset(each.true_s)]);
    if (this.facts.children.length !== facts.length) this.facts.replaceChildren(...facts.map(([, , kind]) => h("div", {}, h("dt"), h("dd", { class: kind }))));
    facts.forEach(([term, value], index) => {
      const [dt, dd] = this.facts.children[index].children;
      say(dt, term);
      say(dd, value);
    });
  }

  close() {
    this.off();
    clearInterval(this.timer);
    this.asked = null;
    this.offsetChart.destroy();
    this.delayChart.destroy();
  }
}
