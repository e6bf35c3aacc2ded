// Numbers and instants as people read them. Lengths of time are seconds, instants Unix seconds, all in UTC.

const UNITS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];

export function unitFor(size) {
  return UNITS.find(([scale]) => Math.abs(size) >= 0.9995 * scale) ?? UNITS[3];
}

export function size(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0 s";
  const [scale, unit] = unitFor(value);
  return `${(value / scale).toFixed(digits).replace("-", "−")} ${unit}`;
}

export function offset(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  return (value >= 0 ? "+" : "") + size(value, digits);
}

// Ticks of an axis share one unit, and as many decimals as their step needs.
export function ticks(values) {
  const finite = values.filter((value) => value !== null);
  const [scale, unit] = unitFor(Math.max(...finite.map(Math.abs), 1e-12));
  const step = finite.length > 1 ? Math.abs(finite[1] - finite[0]) / scale : 1;
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  return values.map((value) => (value === null ? null : `${(value / scale).toFixed(digits).replace("-", "−")} ${unit}`));
}

export function logTick(value) {
  if (value === null || value === undefined) return "";
  const power = Math.log10(value);
  if (Math.abs(power - Math.round(power)) > 1e-6) return "";
  const [scale, unit] = unitFor(value);
  return value < 1e-12 || value >= 1e4 ? power10(Math.round(power)) : `${+(value / scale).toPrecision(3)} ${unit}`;
}

export function power10(power) {
  return "10" + String(power).replace(/[-\d]/g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
}

export function age(seconds) {
  if (seconds === null) return "–";
  for (const [limit, unit, name] of [[120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"]]) {
    if (seconds < limit) return `${Math.max(0, Math.floor(seconds / unit))} ${name}`;
  }
  return `${Math.floor(seconds / 86400)} d`;
}

export function duration(seconds) {
  if (seconds < 120) return `${+seconds.toPrecision(3)} s`;
  if (seconds < 7200) return `${+(seconds / 60).toPrecision(3)} min`;
  if (seconds < 172800) return `${+(seconds / 3600).toPrecision(3)} h`;
  return `${+(seconds / 86400).toPrecision(3)} d`;
}

export const instant = (ns) => new Date(ns / 1e6).toISOString().slice(0, 19).replace("T", " ");

export const words = (name) => name.replaceAll("_", " ");
