// Holdover of a target: how long it stays within its limits, its forecast beside what is measured, its states, what came of others.

import { drawLimit, drawNow, timeChart } from "./chart.js";
import { h, pick, say } from "./dom.js";
import { duration, instant, offset, size, words } from "./format.js";
import * as store from "./store.js";

const RANGES = [[300, "5 min"], [3600, "1 h"], [21600, "6 h"], [86400, "24 h"], [604800, "7 d"]];
const REFRESH_MS = 5000;
const SIGNS = { unknown: "– unknown", freerun: "○ free", acquiring: "◌ acquiring", locked: "● locked", holdover: "▲ holdover", holdover_out: "■ out of specification" };
const LEVELS = { locked: "ok", unknown: "unsettled", acquiring: "unsettled" };

export function holdover(root, { name, search }) {
  if (!store.targets.has(name)) { root.append(h("p", { class: "empty" }, "There is no such target.")); return () => {}; }
  const view = new HoldoverView(root, name, search);
  return () => view.close();
}

class HoldoverView {
  constructor(root, name, search) {
    this.name = name;
    this.last = Number(search.get("range")) || 300;
    this.found = null;
    this.build(root);
    this.timer = setInterval(() => this.load(), REFRESH_MS);
    this.load();
  }

  build(root) {
    const address = (name) => `#/holdover/${encodeURIComponent(name)}?range=${this.last}`;
    this.ranges = h("div", { class: "buttons", role: "group", "aria-label": "Range of time, as far back as ahead" }, RANGES.map(([seconds, text]) =>
      h("button", { type: "button", "data-range": seconds, onclick: () => { this.last = seconds; history.replaceState(null, "", address(this.name)); this.load(); } }, text)));
    this.csv = Object.fromEntries(["forecast", "states", "episodes"].map((table) => [table, h("a", { class: "button", download: true }, "CSV")]));
    this.place = h("div", { class: "chart", id: "holdover-chart" });
    root.append(
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, `Holdover of ${this.name}`), this.mark = h("span", { class: "state" }),
        h("div", { class: "right" }, pick("Target", [...store.targets.keys()].map((each) => [each, each]), this.name, (each) => { location.hash = address(each); }))),
      this.answer = h("p", { class: "answer" }, "Asking the probe …"), this.limits = h("div", { class: "scroll" }), this.facts = h("dl", { class: "facts" })),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Measured, and foreseen"), this.ranges, h("div", { class: "right" }, this.csv.forecast)),
        this.place, this.note = h("p", { class: "note" })),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "States"), h("div", { class: "right" }, this.csv.states)), this.timeline = h("div")),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Holdovers that are over"), h("div", { class: "right" }, this.csv.episodes)), this.episodes = h("div", { class: "scroll" })));
    this.chart = timeChart(this.place, {
      height: 320,
      draw: (plot) => {
        for (const each of this.found?.limits ?? []) drawLimit(plot, each.limit_s, "");
        drawNow(plot, store.now());
      },
      curves: [{ label: "measured", colour: "blue", width: 1.8 }, { label: "band, low", colour: "violet", width: 0.7 }, { label: "band, high", colour: "violet", width: 0.7 },
        { label: "foreseen", colour: "violet", width: 1.8, dash: [6, 4] }],
      bands: [[3, 2, "violet"]],
    });
  }

  async load() {
    const end = store.now(), begin = end - this.last;
    const span = { target: this.name, start_ns: BigInt(Math.floor(begin * 1e3)) * 1000000n, end_ns: BigInt(Math.ceil(end * 1e3)) * 1000000n };
    const asked = (this.asked = Symbol("question"));
    for (const [table, link] of Object.entries(this.csv)) {
      link.href = `/api/v1/holdover?${store.query({ ...span, format: "csv", table })}`;
      link.setAttribute("aria-label", `CSV: ${table}`);
    }
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(Number(button.dataset.range) === this.last));
    const points = Math.max(100, Math.min(1000, Math.round(this.place.clientWidth / 2)));
    try {
      const found = await store.ask(`holdover?${store.query(span)}`);
      const series = await store.ask(`series?${store.query({ ...span, points })}`).catch(() => null); // without a history there is none
      if (this.asked !== asked) return;
      this.found = found;
      this.draw(found, series, begin, end);
    } catch (error) {
      if (this.asked === asked) say(this.answer, error.message);
    }
  }

  draw(found, series, begin, end) {
    this.mark.dataset.level = LEVELS[found.state] ?? "trouble";
    say(this.mark, words(found.state));
    say(this.answer, found.sentence);
    this.drawLimits(found);
    this.drawFacts(found);
    this.drawCurve(found, series, begin, end);
    this.drawStates(found, begin, end);
    this.drawEpisodes(found);
  }

  drawLimits({ limits, confidence }) {
    if (!limits.length) { this.limits.replaceChildren(); return; }
    const level = confidence === null ? "" : `, ${+(100 * confidence).toPrecision(4)} %`;
    this.limits.replaceChildren(h("table", { id: "limits" }, h("thead", {}, h("tr", {}, ["Limit", `Stays within for${level}`, "As likely left as not after", "Left at the end of what is foreseen"].map((head) => h("th", { scope: "col", class: "number" }, head)))),
      h("tbody", {}, limits.map((each) => h("tr", {}, h("th", { scope: "row", class: "number" }, `± ${size(each.limit_s)}`),
        h("td", { class: "number" }, each.beyond_horizon ? `more than ${duration(each.within_s)}` : each.within_s === 0 ? "not even now" : duration(each.within_s)),
        h("td", { class: "number" }, each.median_s === null ? "–" : duration(each.median_s)),
        h("td", { class: "number" }, each.left_by_horizon === null ? "–" : `${(100 * each.left_by_horizon).toFixed(1)} %`))))));
  }

  drawFacts(found) {
    const rate = (value, unit) => (value === null ? "–" : `${value.toExponential(2)} ${unit}`.replace("-", "−"));
    const facts = [
      ["Learned", found.basis === null ? "–" : found.basis === "holdover" ? "while it coasts" : "while it is locked: it is foreseen to go on so"],
      ["From", found.samples === null ? "–" : `${found.samples} samples`], ["Frequency", rate(found.frequency, "s/s")], ["Drift", rate(found.drift_per_s, "/s")],
      ["Noise of a sample", size(found.white_pm_s)], ["Forecasts that held, of an hour ahead", found.score === null ? "none judged yet" : `${(100 * found.score).toFixed(0)} %`],
      ["Signs of a lost source", found.signs.length ? found.signs.join(", ") : "none"], ["Foreseen at", found.told_ns === null ? "–" : `${instant(found.told_ns)} UTC`],
    ];
    if (!this.facts.children.length) this.facts.append(...facts.map(([term]) => h("div", {}, h("dt", {}, term), h("dd"))));
    facts.forEach(([, value], index) => say(this.facts.children[index].children[1], value));
  }

  drawCurve({ forecast, confidence, limits }, series, begin, end) {
    const data = [[], [], [], [], []];
    const push = (...values) => values.forEach((value, index) => data[index].push(value));
    const last = end + this.last;
    series?.columns.at_ns.forEach((at_ns, index) => push(at_ns / 1e9, series.columns.time_error_s[index], null, null, null));
    const ahead = forecast ? forecast.at_ns.map((at_ns) => at_ns / 1e9) : [];
    const from = data[0].at(-1) ?? -Infinity;
    ahead.forEach((at, index) => { if (at > from) push(at, null, forecast.low_s[index], forecast.high_s[index], forecast.mean_s[index]); });
    const { plot } = this.chart;
    // The picture is as high as what is in it, not as what lies beyond its right edge.
    // A band that is far wider than the limits goes beyond it.
    const within = (columns) => columns.flatMap((column) => column.filter((value, index) => value !== null && data[0][index] <= last));
    const [shown, band] = [within([data[1], data[4]]), within([data[2], data[3]])];
    const most = limits.length ? 2 * Math.max(...limits.map((each) => each.limit_s), ...shown.map(Math.abs)) : Infinity;
    const low = Math.min(...shown, Math.max(-most, Math.min(...band))), high = Math.max(...shown, Math.min(most, Math.max(...band)));
    const room = (high - low) * 0.08 || 1e-9, cut = Math.max(...band.map(Math.abs)) > most;
    plot.batch(() => {
      plot.setData(data, true);
      plot.setScale("x", { min: begin, max: last });
      if (Number.isFinite(high - low)) plot.setScale("y", { min: low - room, max: high + room });
    });
    const until = ahead.length ? `the band holds throughout with ${+(100 * confidence).toPrecision(4)} % confidence, as far as ${duration(ahead.at(-1) - end)} ahead` : "nothing is foreseen yet";
    say(this.note, `${ahead.length ? "Dashed: foreseen; " : ""}${until}${limits.length ? "; red lines: the limits" : ""}${cut ? "; the band goes beyond the picture" : ""}.`);
    const middle = forecast?.mean_s.filter((_, index) => ahead[index] <= last).at(-1);
    this.place.setAttribute("aria-label", `Time error of ${this.name} in the last ${duration(this.last)} and as far ahead: ${middle === undefined ? "no forecast" : `foreseen ${offset(middle)} at its end`}. The sentence above says how long the limits hold.`);
  }

  drawStates({ states }, begin, end) {
    const whole = end - begin;
    const spans = states.map((each) => ({ ...each, from: Math.max(begin, each.start_ns / 1e9), to: Math.min(end, (each.end_ns ?? end * 1e9) / 1e9) })).filter((each) => each.to > each.from);
    if (!spans.length) { this.timeline.replaceChildren(h("p", { class: "note" }, "No state is on record for this time.")); return; }
    const before = spans[0].from - begin;
    const bar = h("ol", { class: "timeline" }, before > 0.01 * whole ? h("li", { "data-state": "unknown" }, SIGNS.unknown) : null, spans.map((each) =>
      h("li", { "data-state": each.state, title: `${words(each.state)}, ${instant(each.from * 1e9)} to ${each.end_ns === null ? "now" : instant(each.to * 1e9)} UTC` }, SIGNS[each.state] ?? each.state)));
    const widths = [...(before > 0.01 * whole ? [before] : []), ...spans.map((each) => each.to - each.from)];
    widths.forEach((width, index) => { bar.children[index].style.width = `${(100 * width) / whole}%`; });
    this.timeline.replaceChildren(bar, h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, instant(begin * 1e9)), h("span", {}, instant(end * 1e9))),
      h("div", { class: "scroll" }, h("table", { id: "states" }, h("thead", {}, h("tr", {}, ["State", "Since", "For", "Signs"].map((head, index) => h("th", { scope: "col", class: index === 1 || index === 2 ? "number" : "" }, head)))),
        h("tbody", {}, spans.slice(-8).reverse().map((each) => h("tr", {}, h("th", { scope: "row" }, SIGNS[each.state] ?? each.state), h("td", { class: "number" }, instant(each.start_ns)),
          h("td", { class: "number" }, duration(each.to - each.start_ns / 1e9)), h("td", {}, each.signs.join(", ") || "–")))))));
  }

  drawEpisodes({ episodes }) {
    if (!episodes.length) { this.episodes.replaceChildren(h("p", { class: "note" }, "None is on record.")); return; }
    const judged = episodes.filter((each) => each.held !== null);
    const longest = Math.max(...episodes.map((each) => each.duration_s ?? 0));
    const summary = `${episodes.length} on record, the longest ${duration(longest)}; the forecast held throughout in ${judged.filter((each) => each.held).length} of ${judged.length} that could be judged.`;
    this.episodes.replaceChildren(h("table", { id: "episodes" }, h("caption", {}, summary), h("thead", {}, h("tr", {}, ["Began", "Lasted", "Largest error", "Step at its end", "Frequency", "Forecast held", "Inside the band"].map((head) => h("th", { scope: "col", class: "number" }, head)))),
      h("tbody", {}, episodes.slice(0, 20).map((each) => h("tr", {}, h("td", { class: "number" }, instant(each.entry_ns)), h("td", { class: "number" }, duration(each.duration_s)),
        h("td", { class: "number" }, size(each.max_abs_s)), h("td", { class: "number" }, offset(each.end_step_s)), h("td", { class: "number" }, each.rate === null ? "–" : each.rate.toExponential(2).replace("-", "−")),
        h("td", { class: "number" }, each.held === null ? "not judged" : each.held ? "✓ yes" : "✕ no"), h("td", { class: "number" }, each.inside === null ? "–" : `${(100 * each.inside).toFixed(0)} % of ${each.judged}`))))));
  }

  close() {
    clearInterval(this.timer);
    this.asked = null;
    this.chart.destroy();
  }
}
