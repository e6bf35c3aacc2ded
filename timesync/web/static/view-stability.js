// Stability of a target on logarithmic axes, with intervals and masks, and the same as a table.

import { logChart } from "./chart.js";
import { h, pick, say } from "./dom.js";
import { duration, instant, size } from "./format.js";
import * as store from "./store.js";

const COLOURS = ["blue", "red", "green", "violet", "orange"];
const NOISE = { 2: "white PM", 1: "flicker PM", 0: "white FM", "-1": "flicker FM", "-2": "random walk FM" };
const REFRESH_MS = 4000;

export function stability(root, { name, search }) {
  const note = h("p", { class: "note" });
  const place = h("div", { class: "two" });
  const tables = h("section", { class: "panel" });
  let profile = search.get("mask") ?? "";
  let charts = [], masks = [], closed = false, shown = "";
  const address = (target, mask) => `#/stability/${encodeURIComponent(target)}${mask ? `?mask=${mask}` : ""}`;
  const maskPlace = h("div", { class: "slot" });
  root.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, `Stability of ${name}`),
    h("div", { class: "right" }, pick("Target", [...store.targets.keys()].map((each) => [each, each]), name, (each) => { location.hash = address(each, profile); }),
      maskPlace, h("a", { class: "button", download: true, href: `/api/v1/stability?${store.query({ target: name, format: "csv" })}` }, "CSV"))), note), place, tables);

  async function load() {
    try {
      const answer = await store.ask(`stability?${store.query({ target: name })}`);
      if (!masks.length) masks = (await store.ask("masks")).masks;
      if (closed) return;
      const text = JSON.stringify([answer, profile]);
      if (text !== shown) { shown = text; draw(answer); }
    } catch (error) {
      say(note, error.message);
    }
  }

  function draw({ curves, reference }) {
    const profiles = [...new Map(masks.map((each) => [each.profile, each.title]))];
    if (!maskPlace.children.length) {
      maskPlace.append(pick("Mask", [["", "none"], ...profiles], profile, (value) => { profile = value; history.replaceState(null, "", address(name, value)); load(); }));
    }
    charts.forEach((each) => each.destroy());
    charts = [];
    place.replaceChildren();
    tables.replaceChildren();
    tables.hidden = !curves.length;
    if (!curves.length) {
      say(note, "Nothing is computed yet: it takes some samples, and [stability] enabled in the configuration.");
      return;
    }
    const first = curves[0];
    const covered = curves.find((each) => each.coverage !== null)?.coverage;
    const percent = (value) => `${+(100 * value).toPrecision(4)} %`;
    say(note, `Against ${reference === "probe" ? "the probe's own clock" : reference ?? "its reference"}, as of ${instant(first.at_ns)} UTC over ${first.window_days} d at most; ${percent(first.completeness ?? 0)} of the samples are there; ${covered ? `bars cover ${percent(covered)}` : "no intervals yet"}.`);
    // One picture a unit; estimators of one statistic share its colour.
    const families = [...new Set(curves.map((each) => each.family))];
    for (const [unit, title] of [["1", "Fractional frequency deviation"], ["s", "Time deviation and interval error"]]) {
      const some = curves.filter((each) => each.unit === unit);
      if (!some.length) continue;
      const chosen = masks.filter((each) => unit === "s" && each.profile === profile && some.some((curve) => curve.family === each.statistic));
      const chart = h("div", { class: "chart", "aria-label": `${title} of ${name}: ${some.map(spoken).join("; ")}. The table below has every value.` });
      place.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, title)), chart,
        chosen.length ? h("p", { class: "note" }, chosen.map((each) => each.source).join("; ")) : null));
      charts.push(logChart(chart, {
        height: 420, unit,
        curves: some.map((each) => ({ label: each.title, colour: COLOURS[families.indexOf(each.family) % COLOURS.length], dash: each.exact ? undefined : [6, 4], tau: each.tau_s, dev: each.dev, lo: each.lo, hi: each.hi })),
        masks: chosen.map((each) => ({ label: `mask ${each.mask}`, tau: each.tau_s, limit: each.limit_s })),
      }));
    }
    tables.append(h("div", { class: "scroll" }, table(curves)));
  }
  load();
  const timer = setInterval(load, REFRESH_MS);
  return () => { closed = true; clearInterval(timer); charts.forEach((each) => each.destroy()); };
}

const value = (curve, number) => (number === null || number === undefined ? "–" : curve.unit === "s" ? size(number) : number.toExponential(3));
const spoken = (curve) => `${curve.title} from ${value(curve, curve.dev[0])} at ${duration(curve.tau_s[0])} to ${value(curve, curve.dev.at(-1))} at ${duration(curve.tau_s.at(-1))}`;

function table(curves) {
  return h("table", {}, h("caption", {}, "Every value"), h("thead", {}, h("tr", {}, ["Statistic", "τ", "Value", "from", "to", "terms", "Noise"].map((text, index) =>
    h("th", { scope: "col", class: index && index < 6 ? "number" : "" }, text)))),
  h("tbody", {}, curves.flatMap((curve) => curve.tau_s.map((tau, index) => h("tr", {}, h("th", { scope: "row" }, curve.title),
    h("td", { class: "number" }, duration(tau)), h("td", { class: "number" }, value(curve, curve.dev[index])), h("td", { class: "number" }, value(curve, curve.lo[index])),
    h("td", { class: "number" }, value(curve, curve.hi[index])), h("td", { class: "number" }, String(curve.n[index] ?? "–")),
    h("td", {}, curve.alpha[index] === null ? "–" : NOISE[Math.round(curve.alpha[index])] ?? String(curve.alpha[index])))))));
}
