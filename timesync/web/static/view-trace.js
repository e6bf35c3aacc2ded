// What a number rests on: the chain from UTC to the target, and its budget part by part.

import { h, pick, say } from "./dom.js";
import { instant, offset, size, words } from "./format.js";
import * as store from "./store.js";

const REFRESH_MS = 5000;

export function trace(root, { name }) {
  const note = h("p", { class: "note" });
  const chain = h("ol", { class: "chain" });
  const bound = h("section", { class: "panel" }), u = h("section", { class: "panel" });
  let closed = false;
  root.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, `Traceability of ${name}`),
    h("div", { class: "right" }, pick("Target", [...store.targets.keys()].map((each) => [each, each]), name, (each) => { location.hash = `#/traceability/${encodeURIComponent(each)}`; }))), note, chain),
  h("div", { class: "two" }, bound, u));
  async function load() {
    try {
      const found = await store.ask(`traceability?${store.query({ target: name })}`);
      if (closed) return;
      say(note, found.at_ns === null ? "Nothing is on record yet."
        : found.claim === "valid" ? `The record of ${instant(found.at_ns)} UTC: ${offset(found.time_error_s)}, bound ± ${size(found.bound_s)}, u ${size(found.u_s)}.`
          : `No claim against UTC(k) at ${instant(found.at_ns)} UTC: ${words(found.claim ?? "")}.`);
      chain.replaceChildren(...found.chain.map((step) => h("li", {}, h("b", {}, step.step), h("span", {}, step.what), h("span", {}, step.detail))));
      budget(bound, "The bound", "a plain sum: the error cannot exceed it", found.bound, found.bound_s, "");
      budget(u, "The standard uncertainty u", "root sum of squares, coverage factor 1, at most the bound", found.u, found.u_s, "u");
    } catch (error) {
      say(note, error.message);
    }
  }
  load();
  const timer = setInterval(load, REFRESH_MS);
  return () => { closed = true; clearInterval(timer); };
}

function budget(place, title, note, parts, sum, kind) {
  const most = Math.max(...parts.map((part) => part.value_s), 1e-15);
  place.replaceChildren(h("div", { class: "head" }, h("h2", {}, title), h("span", { class: "note" }, note)), h("div", { class: "budget" },
    parts.map((part) => {
      const bar = h("i");
      bar.style.width = `${(100 * part.value_s) / most}%`;
      return h("div", { class: "row" }, h("span", {}, words(part.part.replace(/^(bound|u)_/, "").replace(/_s$/, "")), h("small", {}, part.meaning.replace(/^part of [^:]*: /, ""))),
        h("div", { class: `bar ${kind}`, "aria-hidden": "true" }, bar), h("output", {}, size(part.value_s)));
    }),
    h("div", { class: "row sum" }, h("span", {}, "together"), h("span"), h("output", {}, size(sum)))));
}
