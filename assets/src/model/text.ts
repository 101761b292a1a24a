/** Numbers, sizes, times and ids as people read them. */

import type { Amounts } from "./wire";

/** Megabytes: `512 MB`, `4.0 GB`. */
export function megabytes(value: number): string {
  return bytes(value * 1024 * 1024);
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function bytes(value: number): string {
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** At most three decimals, as the master keeps. */
export function count(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 3 });
}

export const KINDS = ["cpus", "gpus", "mem", "disk"] as const;
export type Kind = (typeof KINDS)[number];
export const LABELS: Record<Kind, string> = { cpus: "CPUs", gpus: "GPUs", mem: "Mem", disk: "Disk" };

export function amount(kind: Kind, value: number): string {
  return kind === "mem" || kind === "disk" ? megabytes(value) : count(value);
}

export function add(one: Amounts, other: Amounts, sign = 1): Amounts {
  return {
    cpus: one.cpus + sign * other.cpus,
    gpus: one.gpus + sign * other.gpus,
    mem: one.mem + sign * other.mem,
    disk: one.disk + sign * other.disk,
  };
}

/** The largest part of the cluster that somebody has of any kind, 0 to 1. */
export function share(held: Amounts, total: Amounts): number {
  return Math.max(0, ...KINDS.map((kind) => (total[kind] > 0 ? held[kind] / total[kind] : 0)));
}

const STEPS: [number, string][] = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [7, "day"],
  [4.345, "week"],
  [12, "month"],
  [Infinity, "year"],
];

/** `2 minutes ago`, `in an hour`; times in seconds since 1970. */
export function relative(time: number, now: number): string {
  let away = Math.abs(time - now);
  if (away < 5) return "just now";
  for (const [size, unit] of STEPS) {
    if (away < size) {
      const whole = Math.max(1, Math.floor(away + 1e-9));
      const one = unit === "hour" ? "an hour" : `a ${unit}`;
      const text = whole === 1 ? one : `${whole} ${unit}s`;
      return time > now ? `in ${text}` : `${text} ago`;
    }
    away /= size;
  }
  return "";
}

/** `2026-11-23T06:00:00Z`. */
export function iso(time: number): string {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().replace(/\.\d+Z$/, "Z");
}

/** `1 h 20 min`; of seconds. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${count(Math.round(seconds * 10) / 10)} s`;
  const parts: [number, string][] = [
    [604_800, "wk"],
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const out: string[] = [];
  for (const [size, unit] of parts) {
    const whole = Math.floor(seconds / size);
    seconds -= whole * size;
    if (whole > 0) out.push(`${whole} ${unit}`);
    if (out.length === 2) break;
  }
  return out.join(" ");
}

/** `…b31795b2cda9-S1`: what tells ids of a cluster apart is their end. */
export function short(id: string): string {
  const found = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-([0-9a-f]{12}-.+)$/.exec(id);
  return found ? `…${found[1]}` : id;
}

/** What an address shown as a link may lead to: never a script. */
export function safeUrl(url: string): string | undefined {
  try {
    const { protocol } = new URL(url);
    return protocol === "http:" || protocol === "https:" ? url : undefined;
  } catch {
    return undefined;
  }
}

/** A reason, which begins small and ends without a full stop, as a sentence. */
export function sentence(reason: string): string {
  return `${(reason[0] ?? "").toUpperCase()}${reason.slice(1)}${/[.!?…]$/.test(reason) ? "" : "."}`;
}
