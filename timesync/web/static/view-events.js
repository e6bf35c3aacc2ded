// What happened, newest first.

import { h, pick, say } from "./dom.js";
import { instant, words } from "./format.js";
import * as store from "./store.js";

export function eventList(events, nothing) {
  if (!events.length) return h("p", { class: "note" }, nothing);
  return h("ul", { class: "events" }, events.map((each) => h("li", {},
    h("time", { datetime: new Date(each.at_ns / 1e6).toISOString() }, instant(each.at_ns)),
    h("span", { class: "severity", "data-severity": each.severity }, each.severity),
    each.target ? h("a", { href: `#/target/${encodeURIComponent(each.target)}` }, each.target) : h("span", { class: "note" }, "probe"),
    h("p", {}, h("strong", {}, words(each.kind)), " ", each.text))));
}

export function eventsView(root, { name, search }) {
  const only = search.get("target") ?? "";
  const place = h("div");
  const note = h("p", { class: "note", "aria-live": "polite" });
  let events = [];
  root.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, "Events"),
    h("div", { class: "right" }, pick("Of", [["", "everything"], ...[...store.targets.keys()].map((each) => [each, each])], only,
      (each) => { location.hash = each ? `#/events?target=${encodeURIComponent(each)}` : "#/events"; }),
    h("a", { class: "button", download: true, href: `/api/v1/events?${store.query({ target: only || null, format: "csv" })}` }, "CSV"))), place, note));
  const draw = () => place.replaceChildren(eventList(events, "Nothing has happened yet."));
  store.ask(`events?${store.query({ target: only || null })}`).then((answer) => { events = answer.events; draw(); }, (error) => say(note, error.message));
  return store.listen((kind, data) => {
    if (kind === "event" && (!only || data.target === only)) { events.unshift(data); draw(); }
  });
}
