// The network: how every target is now, and how each compares with every other, judged by its limit.

import { colour, h, say } from "./dom.js";
import { age, offset, size, words } from "./format.js";
import * as store from "./store.js";

const GRID_LIMIT = 24;

// What a limit says of an error whose bound is known: a sign, a word for a cell and one for a sentence.
export const VERDICTS = {
  within: ["✓", "within", "within the limit"], possible: ["?", "perhaps", "perhaps beyond the limit: its bound reaches beyond"],
  certain: ["✕", "beyond", "beyond the limit, whatever the path did"], none: ["–", "no claim", "no claim"],
};
export const judge = (value, bound, limit) => (Math.abs(value) - bound > limit ? "certain" : Math.abs(value) + bound > limit ? "possible" : "within");

export function network(root) {
  const tiles = h("div", { class: "tiles" });
  const body = h("tbody");
  const caption = h("p", { class: "note", id: "targets-note" });
  const table = h("table", { id: "targets", "aria-describedby": "targets-note" }, h("caption", { class: "hidden" }, "Targets"), h("thead", {}, h("tr", {},
    ["Target", "State"].map((text) => h("th", { scope: "col" }, text)),
    h("th", { scope: "col", class: "number" }, "Offset"), h("th", { scope: "col" }, "Limit"), h("th", { scope: "col", class: "number" }, "± bound"),
    h("th", { scope: "col", class: "number less" }, "u"), h("th", { scope: "col", class: "less" }, "Last minutes"),
    h("th", { scope: "col", class: "number less" }, "Delay"), h("th", { scope: "col", class: "less" }, "Stamps"),
    h("th", { scope: "col", class: "less" }, "Reach"), h("th", { scope: "col", class: "number" }, "Age"),
    store.known.site.simulated ? [h("th", { scope: "col", class: "number less" }, "True"), h("th", { scope: "col", class: "less" }, "Simulated as")] : [])), body);
  const grid = h("div", { class: "scroll" });
  const explain = h("p", { class: "note", "aria-live": "polite" }, "Choose a cell to read it in words.");
  root.append(h("h1", { class: "hidden" }, "Network"), tiles,
    h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Targets"),
      h("div", { class: "right" }, h("a", { class: "button", download: true, href: "/api/v1/targets?format=csv", "aria-label": "CSV: targets" }, "CSV"))), caption, h("div", { class: "scroll" }, table)),
    h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Each against every other"),
      h("span", { class: "note", id: "grid-note" }, "row minus column, now, by the limit of the row; on the diagonal: by itself against UTC(k); arrow keys go from cell to cell"),
      h("div", { class: "right" }, h("a", { class: "button", download: true, href: "/api/v1/comparison?format=csv", "aria-label": "CSV: comparison" }, "CSV"))), grid,
    h("div", { class: "key" }, Object.entries(VERDICTS).map(([name, [sign, , text]]) => h("span", { class: name === "none" ? "" : "limited", "data-verdict": name }, h("i", { "aria-hidden": "true" }, sign), name === "none" ? "nothing to compare" : text)),
      h("span", { class: "unlimited", "data-verdict": "agree" }, h("i", { "aria-hidden": "true" }, "≈"), "no limit: may be the same"), h("span", { class: "unlimited", "data-verdict": "differ" }, h("i", { "aria-hidden": "true" }, "≠"), "no limit: certainly differ")), explain));
  const rows = new Map();

  function update() {
    const all = [...store.targets.values()];
    drawTiles(tiles, all);
    const realised = all.find((each) => each.realises)?.realises;
    const limits = [...new Set(all.filter((each) => each.limit).map((each) => `${each.limit} (± ${shortSize(each.limit_s)})`))];
    const judged = limits.length === 1 ? `. Limit: ${limits[0]}` : "";
    say(caption, (realised ? `Offset: target minus ${realised}. * minus this probe's clock: no claim` : "Offset: target minus this probe's clock") + judged);
    for (const each of all) {
      if (!rows.has(each.target)) {
        rows.set(each.target, makeRow(each));
        body.append(rows.get(each.target).element);
      }
      rows.get(each.target).update(each);
    }
    for (const [name, row] of rows) if (!store.targets.has(name)) { row.element.remove(); rows.delete(name); }
    for (const each of root.querySelectorAll(".key .limited")) each.hidden = !limits.length;
    for (const each of root.querySelectorAll(".key .unlimited")) each.hidden = all.every((target) => target.limit);
    drawGrid(grid, all.slice(0, GRID_LIMIT), explain, all.length);
  }
  update();
  const off = store.listen((kind) => { if (kind === "targets" || kind === "alerts") update(); });
  const timer = setInterval(() => { for (const [name, row] of rows) row.tick(store.targets.get(name)); }, 1000);
  return () => { off(); clearInterval(timer); };
}

function drawTiles(tiles, all) {
  const troubled = all.filter((each) => each.level === "trouble").length;
  const claimed = all.filter((each) => each.time_error_s !== null && !each.is_reference);
  const worst = (value) => claimed.reduce((best, each) => (best === null || value(each) > value(best) ? each : best), null);
  const far = worst((each) => Math.abs(each.time_error_s));
  const fire = store.firing();
  const [beyond, perhaps] = ["certain", "possible"].map((verdict) => all.filter((each) => each.verdict === verdict).length);
  const wide = worst((each) => each.time_error_bound_s);
  const facts = [
    [`${all.filter((each) => each.level === "ok").length} of ${all.length}`, "targets are measured", troubled ? "" : "ok"],
    [String(troubled), "in trouble: no result, or no claim", troubled ? "trouble" : "ok"],
    all.some((each) => each.limit) ? [String(beyond), `beyond the limit${perhaps ? `, and ${perhaps} perhaps` : ""}`, beyond ? "trouble" : perhaps ? "" : "ok"] : ["–", "no limit is configured", ""],
    [String(fire.length), fire.length ? `${fire.length === 1 ? "alert fires" : "alerts fire"}, ${fire.filter((each) => each.level === "critical").length} critical` : "alerts fire", fire.length ? "trouble" : "ok", "#/alerts"],
    [far ? offset(far.time_error_s) : "–", far ? `largest offset: ${far.target}` : "no claim yet", ""],
    [wide ? `± ${size(wide.time_error_bound_s)}` : "–", wide ? `widest bound: ${wide.target}` : "no claim yet", ""],
  ];
  if (tiles.children.length !== facts.length) tiles.replaceChildren(...facts.map(([, , , href]) => h(href ? "a" : "div", { class: "tile", href }, h("b"), h("span"))));
  facts.forEach(([value, text, level], index) => {
    const tile = tiles.children[index];
    tile.dataset.level = level;
    say(tile.children[0], value);
    say(tile.children[1], text);
  });
}

export function stateMark(each) {
  return { level: each.is_reference && each.level === "ok" ? "reference" : each.level, text: words(each.state) };
}

function makeRow(target) {
  const cells = {};
  const cell = (name, kind) => (cells[name] = h("td", { class: kind }));
  const mark = h("span", { class: "state" }), flag = makeFlag(target.target);
  const spark = h("canvas", { class: "spark", width: 300, height: 60, role: "img" });
  const element = h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/target/${encodeURIComponent(target.target)}` }, target.target)),
    h("td", {}, mark, flag), cell("offset", "number"), cell("limit", "verdict"), cell("bound", "number"), cell("u", "number less"), h("td", { class: "less" }, spark),
    cell("delay", "number less"), cell("stamps", "less"), cell("reach", "reach less"), cell("age", "number"),
    store.known.site.simulated ? [cell("truth", "number less"), cell("as", "less note")] : []);
  const tick = (each) => say(cells.age, each?.at_ns ? age(store.now() - each.at_ns / 1e9) : "–");
  return {
    element,
    tick,
    update(each) {
      const { level, text } = stateMark(each);
      mark.dataset.level = level;
      say(mark, text);
      mark.title = each.trouble ? `${each.trouble.meaning}: ${each.trouble.remedy}` : "";
      const claimed = each.time_error_s !== null;
      say(cells.offset, claimed ? offset(each.time_error_s) : each.offset_s === null ? "–" : `${offset(each.offset_s)} *`);
      say(cells.bound, size(claimed ? each.time_error_bound_s : each.bound_s));
      drawFlag(flag, each.target);
      const verdict = each.limit === null ? null : each.verdict ?? "none";
      cells.limit.dataset.verdict = cells.offset.dataset.verdict = verdict ?? "";
      cells.offset.dataset.sign = verdict ? VERDICTS[verdict][0] : "";
      cells.limit.title = verdict ? `${each.limit}, ± ${shortSize(each.limit_s)}: ${VERDICTS[verdict][2]}` : "no limit is configured";
      say(cells.limit, verdict ? `${VERDICTS[verdict][0]} ${VERDICTS[verdict][1]}` : "–");
      say(cells.u, size(each.time_error_u_s));
      say(cells.delay, size(each.delay_s));
      say(cells.stamps, each.timestamping ?? "–");
      if (cells.reach.dataset.shown !== each.reach) {
        cells.reach.dataset.shown = each.reach;
        const asked = Math.min(8, each.polls);
        cells.reach.replaceChildren(...[...each.reach].slice(8 - asked).map((bit) => h("i", { class: bit === "1" ? "" : "lost" }, bit === "1" ? "▮" : "▯")));
        cells.reach.setAttribute("aria-label", `${[...each.reach].filter((bit) => bit === "1").length} of the newest ${asked} polls answered`);
      }
      if (cells.as) {
        say(cells.truth, claimed && each.true_s !== null ? offset(each.true_s) : "–");
        say(cells.as, each.simulated_as ?? "");
      }
      drawSpark(spark, store.trail.get(each.target) ?? []);
      tick(each);
    },
  };
}

// A small curve of what has come since the page was opened, with its bound as a band.
function drawSpark(canvas, points) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (points.length < 2) return;
  const values = points.map(([, value]) => value);
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.15 || Math.abs(high) * 0.1 || 1e-9;
  const begin = points[0][0], end = points.at(-1)[0];
  const x = (at) => ((at - begin) / (end - begin || 1)) * (width - 6) + 3;
  const y = (value) => height - 5 - ((value - low + room) / (high - low + 2 * room)) * (height - 10);
  context.strokeStyle = colour("blue");
  context.lineWidth = 2.5;
  context.lineJoin = "round";
  context.beginPath();
  points.forEach(([at, value], index) => (index ? context.lineTo(x(at), y(value)) : context.moveTo(x(at), y(value))));
  context.stroke();
  context.fillStyle = colour("text");
  context.beginPath();
  context.arc(x(end), y(values.at(-1)), 4, 0, 7);
  context.fill();
  canvas.setAttribute("aria-label", `offset between ${offset(low)} and ${offset(high)} since the page was opened`);
}

const LIFE_INTERVALS = 3, GRACE_S = 4, GREATEST_RATE = 500e-6; // as in facts.py

const isNews = (each) => each.at_ns !== null && Math.abs(store.now() - each.at_ns / 1e9) <= LIFE_INTERVALS * each.interval_s + GRACE_S;

// What can be said of row minus column: the reference cancels, the bounds add up. Without it the probe's clock cancels, but for what
// it may have run between the two measurements.
export function compare(row, column) {
  if (!isNews(row) || !isNews(column)) return null;
  const claimed = row.time_error_s !== null && column.time_error_s !== null && row.realises === column.realises;
  const clock = row.offset_s !== null && column.offset_s !== null && row.clock_epoch === column.clock_epoch;
  if (!claimed && !clock) return null;
  const [value, bound] = claimed
    ? [row.time_error_s - column.time_error_s, row.time_error_bound_s + column.time_error_bound_s]
    : [row.offset_s - column.offset_s, row.bound_s + column.bound_s + GREATEST_RATE * Math.abs(row.at_ns - column.at_ns) / 1e9];
  const limit = row.limit_s;
  return { value, bound, differ: Math.abs(value) > bound, limit, verdict: limit === null ? null : judge(value, bound, limit) };
}

// The flag of a target of which alerts fire: how many, and the way to them.
const makeFlag = (name) => h("a", { class: "flag", hidden: true, href: `#/alerts?target=${encodeURIComponent(name)}` });

function drawFlag(flag, name) {
  const fire = store.firing(name);
  flag.hidden = !fire.length;
  if (!fire.length) return;
  say(flag, `▲${fire.length}`);
  flag.title = fire.map((each) => each.title).join(", ");
  flag.setAttribute("aria-label", `${fire.length} ${fire.length === 1 ? "alert fires" : "alerts fire"}: ${flag.title}`);
}

const shortSize = (value) => size(value).replace(/\.?0+ /, " ");

// Of a cell: its verdict, its text, and the same in words.
function judged(row, column) {
  const itself = row === column;
  const found = itself
    ? row.time_error_s === null || !isNews(row) ? null : { value: row.time_error_s, bound: row.time_error_bound_s, differ: false, limit: row.limit_s, verdict: row.verdict }
    : compare(row, column);
  const whose = itself ? `${row.target} against ${row.realises ?? "UTC(k)"}` : `${row.target} minus ${column.target}`;
  if (found === null) return { verdict: "none", text: "–", words: `${whose}: nothing to compare now.` };
  const verdict = found.verdict ?? (found.differ ? "differ" : "agree");
  const sign = found.verdict ? VERDICTS[verdict][0] : itself ? "" : found.differ ? "≠" : "≈";
  const bounds = itself ? "" : found.differ ? ", and they certainly differ" : ", and they may be the same";
  const limit = found.verdict ? `; of ${row.limit}, ± ${shortSize(found.limit)}, it is ${VERDICTS[verdict][2]}` : "";
  return { verdict, text: `${sign} ${offset(found.value, 1)}`.trim(), words: `${whose} is ${offset(found.value)}, cannot be wrong by more than ${size(found.bound)}${bounds}${limit}.` };
}

// One cell of the grid is in the order of the Tab key; the arrow keys go to the others.
function walk(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest("td");
  if (!step || !cell) return;
  const to = [...event.currentTarget.tBodies[0].rows][cell.parentElement.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
  const button = to?.querySelector("button");
  if (!button) return;
  event.target.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
  event.preventDefault();
}

function drawGrid(place, all, explain, count) {
  const names = all.map((each) => each.target);
  const tell = (row, column) => say(explain, judged(store.targets.get(row), store.targets.get(column)).words);
  if (place.dataset.names !== names.join("\n")) {
    place.dataset.names = names.join("\n");
    place.replaceChildren(h("table", { class: "grid", "aria-describedby": "grid-note", onkeydown: walk },
      h("caption", { class: count > names.length ? "" : "hidden" }, count > names.length ? `The first ${names.length} of ${count} targets, row minus column` : "Row minus column"),
      h("thead", {}, h("tr", {}, h("td"), names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, names.map((row) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/target/${encodeURIComponent(row)}` }, row), makeFlag(row)),
        names.map((column) => h("td", { class: row === column ? "itself" : "" }, h("button", { type: "button", tabindex: row === column && row === names[0] ? 0 : -1, onclick: () => tell(row, column) }))))))));
  }
  const lines = place.querySelectorAll("tbody tr");
  all.forEach((row, i) => {
    drawFlag(lines[i].querySelector(".flag"), row.target);
    all.forEach((column, j) => {
      const cell = lines[i].children[j + 1];
      const { verdict, text, words } = judged(row, column);
      cell.dataset.verdict = verdict;
      say(cell.firstChild, text);
      cell.firstChild.title = words;
      cell.firstChild.setAttribute("aria-label", words);
    });
  });
}
