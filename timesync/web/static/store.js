// What the page knows: the site, the targets as they are now, and whoever wants to hear of a change.

const listeners = new Set();
export const targets = new Map();
export const trail = new Map(); // of each target: the newest [instant s, error s, bound s], for the small curves
export const alerts = new Map(); // by their keys: pending, firing, and those that ended since the probe was started
export const events = [];
export const known = { site: null, connection: "connecting", skew: 0, oldest: -Infinity };
const TRAIL = 240;

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(kind, data) {
  for (const listener of [...listeners]) listener(kind, data);
}

export const now = () => Date.now() / 1000 + known.skew; // the probe's clock, which the browser's may not be

export async function ask(path) {
  const answer = await fetch(`/api/v1/${path}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

export const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, value]) => value !== null && value !== undefined)).toString();

function take(message) {
  known.skew = message.now_ns / 1e9 - Date.now() / 1000;
  for (const name of message.gone) { targets.delete(name); trail.delete(name); }
  for (const target of message.targets) {
    const before = targets.get(target.target);
    targets.set(target.target, target);
    if (target.at_ns !== null && before?.at_ns !== target.at_ns) {
      const points = trail.get(target.target) ?? [];
      const claimed = target.time_error_s !== null;
      points.push([target.at_ns / 1e9, claimed ? target.time_error_s : target.offset_s,
        claimed ? target.time_error_bound_s : target.bound_s]);
      trail.set(target.target, points.slice(-TRAIL));
    }
  }
}

// The small curves begin with what the history has of the last minutes, and not with the moment when the page was opened.
export async function fillTrails(names) {
  for (const name of names) {
    const { columns } = await ask(`series?${query({ target: name, last_s: TRAIL, points: 60 })}`);
    const now_ = trail.get(name) ?? [], first = now_[0]?.[0] ?? Infinity;
    const before = columns.at_ns.map((at_ns, index) => [at_ns / 1e9, columns.time_error_s[index] ?? columns.offset_s[index], columns.time_error_bound_s[index] ?? columns.bound_s[index]]);
    trail.set(name, [...before.filter(([at]) => at < first), ...now_].slice(-TRAIL));
  }
}

export const firing = (target) => [...alerts.values()].filter((each) => each.phase === "firing" && (target === undefined || each.target === target));

let source = null;

// A page that is not looked at lets its stream go: a browser has six connections for all its pages of one probe.
export function connect() {
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : open()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", open);
  open();
}

function disconnect() {
  source?.close();
  source = null;
}

function open() {
  if (source || document.hidden) return;
  source = new EventSource("/api/v1/stream");
  const state = (word) => { known.connection = word; tell("connection", word); };
  source.addEventListener("open", () => state("live"));
  source.addEventListener("error", () => state("lost"));
  source.addEventListener("targets", (message) => {
    const data = JSON.parse(message.data);
    take(data);
    tell("targets", data);
  });
  source.addEventListener("alerts", (message) => {
    const data = JSON.parse(message.data);
    for (const key of data.gone) alerts.delete(key);
    for (const alert of data.alerts) alerts.set(alert.key, alert);
    tell("alerts", data);
  });
  source.addEventListener("event", (message) => {
    const event = JSON.parse(message.data);
    events.unshift(event);
    events.length = Math.min(events.length, 200);
    tell("event", event);
  });
}

export async function begin() {
  known.site = await ask("site");
  known.skew = known.site.now_ns / 1e9 - Date.now() / 1000;
  known.oldest = (known.site.oldest_ns ?? known.site.now_ns) / 1e9;
}
