// The frame around the views: tabs, address, theme, the connection.

import { announce, h, say } from "./dom.js";
import { alertsView } from "./view-alerts.js";
import { eventsView } from "./view-events.js";
import { holdover } from "./view-holdover.js";
import { network } from "./view-network.js";
import { stability } from "./view-stability.js";
import { target } from "./view-target.js";
import { trace } from "./view-trace.js";
import * as store from "./store.js";

// Each view: its title, and a function that fills an element and returns how to leave it.
const VIEWS = {
  network: ["Network", network],
  target: ["Target", target],
  stability: ["Stability", stability],
  holdover: ["Holdover", holdover],
  traceability: ["Traceability", trace],
  alerts: ["Alerts", alertsView],
  events: ["Events", eventsView],
};
let leave = () => {};

// The address: #/view/target?range=3600
function place() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "network", ...name] = path.split("/");
  return { view: view in VIEWS ? view : "network", name: decodeURIComponent(name.join("/")), search: new URLSearchParams(search) };
}

let shown = { name: "" }, looked = "";
let ready = false; // nothing is drawn before the targets are known

function show() {
  if (!ready) return;
  const wanted = place();
  leave();
  const view = document.getElementById("view");
  view.replaceChildren();
  const [title, open] = VIEWS[wanted.view];
  // A view of one target opens with the one that was looked at last.
  const first = [...store.targets.values()].find((each) => !each.is_reference) ?? [...store.targets.values()][0];
  const name = wanted.name || (store.targets.has(shown.name) ? shown.name : first?.target ?? "");
  if (wanted.name) shown = { name: wanted.name };
  document.title = `${title}${wanted.name ? ` ${wanted.name}` : ""} · timesync`;
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.dataset.view === wanted.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = open(view, { ...wanted, name }) ?? (() => {});
  if (looked && looked !== wanted.view) announce(`View: ${title}`);
  looked = wanted.view;
}

function drawTabs() {
  document.getElementById("tabs").append(...Object.entries(VIEWS).map(([name, [title]]) =>
    h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, title, name === "alerts" ? counter : null))));
}

// How many alerts fire, beside the tab; one that begins or ends is said aloud.
const counter = h("span", { class: "count", hidden: true });
let told = null;

function hearAlerts() {
  const now = new Map(store.firing().map((each) => [each.key, each]));
  counter.hidden = !now.size;
  say(counter, String(now.size));
  counter.setAttribute("aria-label", `${now.size} ${now.size === 1 ? "fires" : "fire"}`);
  const worst = ["critical", "warning", "info"].find((level) => [...now.values()].some((each) => each.level === level));
  counter.dataset.level = worst ?? "";
  if (told) {
    const begun = [...now.values()].filter((each) => !told.has(each.key)), over = [...told.values()].filter((each) => !now.has(each.key));
    const words = [...begun.map((each) => `Alert: ${named(each)}`), ...over.map((each) => `Over: ${named(each)}`)];
    if (words.length) announce(words.length > 3 ? `${begun.length} alerts began, ${over.length} are over` : words.join(". "));
  }
  told = now;
}

const named = (each) => (each.target === null ? each.title : `${each.title}, ${each.target}`);

function theme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("timesync-theme", root.dataset.theme); } catch { /* then it holds for this page only */ }
  show();
}

function fill() {
  if (!store.known.site.history) return;
  store.fillTrails([...store.targets.keys()].slice(0, 24)).catch(() => {}); // then they begin now
}

const CONNECTION = { live: "live", lost: "connection lost, trying again", connecting: "connecting" };

async function start() {
  drawTabs();
  document.getElementById("theme").addEventListener("click", theme);
  addEventListener("hashchange", show);
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("view").focus(); });
  const states = new Map();
  store.listen((kind, data) => {
    const live = document.getElementById("live");
    live.dataset.state = store.known.connection;
    say(live, CONNECTION[store.known.connection]);
    if (kind === "alerts") hearAlerts();
    if (kind !== "targets") return;
    for (const each of data.targets) {
      const before = states.get(each.target);
      states.set(each.target, each.level);
      if (before === "ok" && each.level === "trouble") announce(`${each.target}: ${each.state}`);
      if (before === "trouble" && each.level === "ok") announce(`${each.target} is well again`);
    }
  });
  const tick = () => say(document.getElementById("clock"), `${new Date(store.now() * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`);
  tick();
  setInterval(tick, 250);
  try {
    await store.begin();
  } catch (error) {
    document.getElementById("view").replaceChildren(h("p", { class: "trouble" }, `The probe cannot be asked: ${error.message}`));
    return;
  }
  const { site, probe, version, simulated } = store.known.site;
  say(document.getElementById("site"), `${site} / ${probe}`);
  say(document.getElementById("version"), `timesync ${version}`);
  document.getElementById("simulated").hidden = !simulated;
  // The first view is drawn when the targets are known: one time, complete.
  const off = store.listen((kind) => { if (kind === "targets") { off(); ready = true; show(); fill(); } });
  store.connect();
}

start();
