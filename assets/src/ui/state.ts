/** What every page looks at: the cluster, the connection, the place, the clock, the reader's choices. */

import { computed, effect, signal } from "@preact/signals";
import { Cluster } from "../model/cluster";
import { type Place, link, parse, setMasters } from "../model/route";
import type { Known } from "../net/leader";
import { Link, type Status } from "../net/link";
import { Scouting } from "../net/scouting";

/** None until it was read for the first time; then the last that was read. */
export const cluster = signal<Cluster | undefined>(undefined);
/** Counts what pages should draw: the cluster is one object that changes. */
export const revision = signal(0);
export const status = signal<Status>({ kind: "connecting" });
/** Seconds since 1970, now and then. */
export const now = signal(Date.now() / 1000);
export const place = signal<Place>(parse(location.hash));
/** Other masters, as `host:port`: where one may go when this one is gone. */
export const otherMasters = signal<string[]>([]);
/** The agent that served the page, if it was one. */
export const home = signal<Known | undefined>(undefined);
export const isStale = computed(() => status.value.kind === "lost" || status.value.kind === "standby");

/** Choices that stay with the browser. */
function kept(name: string, fallback: string) {
  const read = () => {
    try {
      return localStorage.getItem(`mesos.${name}`) ?? fallback;
    } catch {
      return fallback;
    }
  };
  const value = signal(read());
  effect(() => {
    try {
      localStorage.setItem(`mesos.${name}`, value.value);
    } catch {
      // A browser that keeps nothing still shows the page.
    }
  });
  return value;
}

/** `relative` or `absolute`. */
export const times = kept("times", "relative");
/** `auto`, `light` or `dark`. */
export const theme = kept("theme", "auto");
/** What the system prefers, which `auto` follows. */
export const prefersDark = signal(false);
export const wraps = kept("wrap", "no");
/** Columns of the roles page, and which of its branches are closed. */
export const roleColumns = kept("roles.columns", "allocated,reserved,consumed,limit");
export const closedRoles = kept("roles.closed", "");

export function toggleTimes(): void {
  times.value = times.value === "relative" ? "absolute" : "relative";
}

/** Short words for who reads the page aloud. */
export const said = signal("");

/** Selected text would vanish with what is redrawn, so drawing waits for it, but not for ever. */
const SELECTION_PATIENCE = 20_000;
/** Drawing takes at most this part of the time. */
const PART = 8;

let pending = false;
let earliest = 0;

function draw(): void {
  if (pending) return;
  pending = true;
  const asked = performance.now();
  const attempt = () => {
    const present = performance.now();
    const selecting = getSelection()?.type === "Range" && present - asked < SELECTION_PATIENCE;
    if (selecting || present < earliest) {
      setTimeout(attempt, selecting ? 250 : earliest - present);
      return;
    }
    pending = false;
    revision.value += 1;
    // Behind what is drawn for it.
    setTimeout(() => {
      const took = performance.now() - present;
      earliest = performance.now() + Math.min(15_000, Math.max(100, took * PART));
    }, 0);
  };
  attempt();
}

export const connection = new Link({
  changed(read) {
    if (cluster.peek() !== read) cluster.value = read;
    draw();
  },
  status(value) {
    status.value = value;
    if (value.kind === "lost") scouting.start();
    else scouting.stop();
  },
  masters(authorities) {
    const own = cluster.peek()?.master;
    const others = authorities.filter((one) => one !== location.host && one !== `${own?.hostname}:${own?.port}`);
    otherMasters.value = others;
    scouting.know(others);
  },
  agent(known) {
    home.value = known;
    setMasters(known.leader ? elsewhere(known.leader.authority, "") : "");
  },
});

/** The same page at another master. */
export function elsewhere(authority: string, hash = location.hash): string {
  return `${location.protocol}//${authority}/${hash}`;
}

const scouting = new Scouting((authority) => location.assign(elsewhere(authority)));

export function start(): void {
  addEventListener("hashchange", () => {
    place.value = parse(location.hash);
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  prefersDark.value = dark.matches;
  dark.addEventListener("change", () => (prefersDark.value = dark.matches));
  setInterval(() => (now.value = Date.now() / 1000), 5000);
  let timer: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => connection.hide(true), 15_000);
    else connection.hide(false);
  });
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
  });
  void connection.run();
}

/** Changes the address's query without going anywhere: it is kept with a bookmark. */
export function setQuery(changes: Record<string, string | undefined>): void {
  const { name, params, query } = place.peek();
  const next = new URLSearchParams(query);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === "") next.delete(key);
    else next.set(key, value);
  }
  if (!name) return;
  const hash = link(name, params, Object.fromEntries(next));
  history.replaceState(null, "", hash);
  place.value = parse(hash);
}
