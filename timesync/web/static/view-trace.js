// What a number rests on: the chain from UTC to the target, and its budget part by part.

import { h, pick, say } from "./dom.js";
import { instant, offset, size, words } from "./format.js";
import * as store from "./store.js";

const REFRESH_MS = 5000;

export function trace(root, { name }) {
  const note = h("p", { class: "answer" }), more = h("div");
  const chain = h("ol", { class: "chain" });
  const bound = h("section", { class: "panel" }), u = h("section", { class: "panel" }), whole = h("section", { class: "panel" });
  let closed = false;
  const csv = (table) => h("a", { class: "button", download: true, href: `/api/v1/traceability?${store.query({ target: name, format: "csv", table })}`, "aria-label": `CSV: ${table}` }, "CSV");
  const csvOfBudget = csv("budget");
  root.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, `Traceability of ${name}`),
    h("div", { class: "right" }, pick("Target", [...store.targets.keys()].map((each) => [each, each]), name, (each) => { location.hash = `#/traceability/${encodeURIComponent(each)}`; }), csv("chain"))), note, chain, more),
  h("div", { class: "two" }, bound, u), whole);
  async function load() {
    try {
      const found = await store.ask(`traceability?${store.query({ target: name })}`);
      if (closed) return;
      say(note, found.at_ns === null ? "Nothing is on record yet."
        : found.claim === "valid" ? `${name} − ${found.realises} = ${offset(found.time_error_s)}, bound ± ${size(found.time_error_bound_s)}, u ${size(found.time_error_u_s)}, at ${instant(found.at_ns)} UTC.`
          : `No claim against UTC(k) at ${instant(found.at_ns)} UTC: ${words(found.claim ?? "")}.`);
      more.replaceChildren(...found.notes.map((each) => h("p", { class: "note" }, each)));
      chain.replaceChildren(...found.chain.map((step) => h("li", { class: step.value_s === null ? "broken" : "" }, h("b", {}, step.what),
        h("span", { class: "value" }, step.value_s === null ? "no value" : step.value_s === 0 ? "0" : offset(step.value_s)),
        step.bound_s === null ? null : h("span", {}, `bound ± ${size(step.bound_s)}`), step.u_s === null ? null : h("span", {}, `u ${size(step.u_s)}`),
        h("span", {}, step.validity), h("span", {}, step.source))));
      for (const each of [bound, u, whole]) each.hidden = !found.budget.length;
      bars(bound, "The bound", "a plain sum: the error cannot exceed it", found.budget.filter((line) => line.half_width_s !== null).map((line) => [line, line.half_width_s]), found.time_error_bound_s, "");
      bars(u, `u of ${found.measurand}`, "root sum of squares, coverage factor 1, at most the bound", found.budget.map((line) => [line, line.contribution_s]), found.u_s, "u");
      table(whole, found, csvOfBudget);
    } catch (error) {
      say(note, error.message);
    }
  }
  load();
  const timer = setInterval(load, REFRESH_MS);
  return () => { closed = true; clearInterval(timer); };
}

function bars(place, title, note, parts, sum, kind) {
  parts.sort(([, one], [, other]) => other - one);
  const most = Math.max(...parts.map(([, value]) => value), 1e-15);
  place.replaceChildren(h("div", { class: "head" }, h("h2", {}, title), h("span", { class: "note" }, note)), h("div", { class: "budget" },
    parts.map(([line, value]) => {
      const bar = h("i");
      bar.style.width = `${(100 * value) / most}%`;
      return h("div", { class: "row" }, h("span", {}, line.quantity, h("small", {}, line.source)),
        h("div", { class: `bar ${kind}`, "aria-hidden": "true" }, bar), h("output", {}, size(value)));
    }),
    h("div", { class: "row sum" }, h("span", {}, "together"), h("span"), h("output", {}, size(sum)))));
}

function table(place, found, csv) {
  const number = (value, text) => h("td", { class: "number" }, value === null ? "–" : value === 0 ? "0" : text(value));
  const heads = ["Quantity", "Value", "Distribution", "Half-width", "u", "Sensitivity", "Contribution", "Source"];
  place.replaceChildren(h("div", { class: "head" }, h("h2", {}, `Uncertainty budget of ${found.measurand}`), h("div", { class: "right" }, csv)),
    h("div", { class: "scroll" }, h("table", { id: "budget" }, h("thead", {}, h("tr", {}, heads.map((head, index) => h("th", { scope: "col", class: [1, 3, 4, 5, 6].includes(index) ? "number" : "" }, head)))),
      h("tbody", {}, found.budget.map((line) => h("tr", {}, h("th", { scope: "row" }, line.quantity), number(line.value_s, offset), h("td", {}, line.distribution),
        number(line.half_width_s, size), number(line.u_s, size), h("td", { class: "number" }, line.sensitivity > 0 ? "+1" : "−1"), number(line.contribution_s, size), h("td", { class: "wide" }, line.source))),
      h("tr", {}, h("th", { scope: "row" }, "combined"), number(found.value_s, offset), h("td"), h("td"), h("td"), h("td"), number(found.u_s, size),
        h("td", { class: "wide" }, found.expanded_s === null ? "" : `U = ${size(found.expanded_s)} (k = ${found.coverage_factor})`))))));
}
