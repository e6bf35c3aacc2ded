// The alerts: what fires now, what waits for its grace, and what ended in the last day; each with what it means and what to do.

import { h, pick, say } from "./dom.js";
import { age, duration, instant, size } from "./format.js";
import * as store from "./store.js";

const LEVELS = ["critical", "warning", "info"];

export function alertsView(root, { search }) {
  const only = search.get("target") ?? "";
  const summary = h("p", { class: "note", role: "status" });
  const list = h("div", { class: "alerts" });
  const waiting = h("section", { class: "panel", hidden: true }), over = h("section", { class: "panel" });
  let older = new Map(), facts = null, closed = false;
  root.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h1", {}, "Alerts"), summary,
    h("div", { class: "right" }, pick("Of", [["", "everything"], ...[...store.targets.keys()].map((each) => [each, each])], only,
      (each) => { location.hash = each ? `#/alerts?target=${encodeURIComponent(each)}` : "#/alerts"; }),
    h("a", { class: "button", href: "/runbooks" }, "Runbooks"),
    h("a", { class: "button", download: true, href: `/api/v1/alerts?${store.query({ target: only || null, format: "csv" })}` }, "CSV"))), list), waiting, over);
  const cards = new Map();

  function draw() {
    const all = [...new Map([...older, ...store.alerts]).values()].filter((each) => !only || each.target === only);
    const firing = all.filter((each) => each.phase === "firing").sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) || a.since_ns - b.since_ns);
    const counts = LEVELS.map((level) => [firing.filter((each) => each.level === level).length, level]).filter(([count]) => count);
    say(summary, facts && !facts.enabled ? "No alerts are judged: [alerts] enabled = true has them judged."
      : counts.length ? counts.map(([count, level]) => `${count} ${level}`).join(", ") : "Nothing fires.");
    const keys = firing.map((each) => each.key);
    for (const [key, card] of cards) if (!keys.includes(key)) { card.element.remove(); cards.delete(key); }
    firing.forEach((each, index) => {
      if (!cards.has(each.key)) cards.set(each.key, makeCard(each));
      const { element, update } = cards.get(each.key);
      update(each);
      if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
    });
    const empty = list.querySelector(".empty");
    if (firing.length) empty?.remove();
    else if (!empty) list.append(h("p", { class: "empty" }, h("span", { class: "state", "data-level": "ok" }, "Nothing fires"), facts ? ` · ${facts.judged} kinds of alert are judged` : ""));
    drawWaiting(all.filter((each) => each.phase === "pending"));
    drawOver(all.filter((each) => each.phase === "resolved").sort((a, b) => b.ended_ns - a.ended_ns));
  }

  function drawWaiting(pending) {
    waiting.hidden = !pending.length;
    const text = pending.map((each) => each.key).join("\n");
    if (waiting.dataset.shown === text) return;
    waiting.dataset.shown = text;
    waiting.replaceChildren(h("div", { class: "head" }, h("h2", {}, "Not told yet"), h("span", { class: "note" }, "the condition holds, for less than its grace")),
      h("ul", { class: "plain" }, pending.map((each) => h("li", {}, level(each), " ", h("b", {}, each.title), " ", whom(each), " ", h("span", { class: "note" }, `since ${instant(each.since_ns)}`)))));
  }

  function drawOver(ended) {
    const text = ended.map((each) => each.key).join("\n");
    if (over.dataset.shown === text && over.children.length) return;
    over.dataset.shown = text;
    over.replaceChildren(h("div", { class: "head" }, h("h2", {}, "Ended in the last day")), ended.length
      ? h("div", { class: "scroll" }, h("table", { id: "ended" }, h("thead", {}, h("tr", {}, ["Alert", "Level", "Of", "Began", "Ended", "Lasted", "Particulars"].map((head, index) => h("th", { scope: "col", class: index > 2 && index < 6 ? "number" : "" }, head)))),
        h("tbody", {}, ended.map((each) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: each.runbook }, each.title)), h("td", {}, level(each)), h("td", {}, whom(each)),
          h("td", { class: "number" }, instant(each.since_ns)), h("td", { class: "number" }, instant(each.ended_ns)),
          h("td", { class: "number" }, duration((each.ended_ns - each.since_ns) / 1e9)), h("td", { class: "wide" }, each.why))))))
      : h("p", { class: "note" }, "None."));
  }

  draw();
  store.ask("alerts").then((answer) => {
    if (closed) return;
    facts = answer;
    older = new Map(answer.alerts.filter((each) => each.phase === "resolved").map((each) => [each.key, each]));
    list.replaceChildren();
    cards.clear();
    draw();
  }, (error) => say(summary, error.message));
  const off = store.listen((kind) => { if (kind === "alerts" || kind === "targets") draw(); });
  return () => { closed = true; off(); };
}

const level = (each) => h("span", { class: "level", "data-level": each.level }, each.level);
const whom = (each) => (each.target === null ? h("span", { class: "note" }, "the probe") : h("a", { href: `#/target/${encodeURIComponent(each.target)}` }, each.target));

// The newest value of what it is judged by, in the unit of its description.
function evidence(each) {
  const shown = each.unit === "s" ? size(each.value) : `${+each.value.toPrecision(4)}${each.unit ? ` ${each.unit}` : ""}`;
  const limit = each.unit === "s" ? size(each.threshold) : String(each.threshold);
  return `${shown} (fires ${each.below ? "below" : "above"} ${limit})`;
}

function makeCard(each) {
  const since = h("span"), value = h("span"), why = h("dd", { class: "wide" });
  const element = h("article", { class: "alert", "data-level": each.level, "data-alert": each.alert, "aria-label": `${each.level}: ${each.title}` },
    h("div", { class: "head" }, level(each), h("h2", {}, each.title), whom(each), since),
    h("p", {}, `${each.means}.`), h("p", {}, h("b", {}, "Do: "), `${each.action}. `, h("a", { href: each.runbook }, "Runbook")),
    h("dl", { class: "facts" }, h("div", {}, h("dt", {}, each.signal), h("dd", {}, value)), h("div", {}, h("dt", {}, "particulars"), why),
      h("div", {}, h("dt", {}, "told"), h("dd", {}, each.fired_ns === null ? "–" : `${instant(each.fired_ns)} UTC`))));
  return {
    element,
    update(now) {
      say(since, `for ${age(store.now() - now.since_ns / 1e9)}, since ${instant(now.since_ns)} UTC`);
      say(value, evidence(now));
      say(why, now.why || "–");
    },
  };
}
