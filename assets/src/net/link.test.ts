import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Cluster } from "../model/cluster";
import { setHome } from "./http";
import { DESPAIR, successor } from "./leader";
import { Link, type Status, delay } from "./link";

/** A master played: what it answers to each path, one answer after the other. */
type Answer = (signal: AbortSignal | null | undefined) => Response | Promise<Response>;
let answers: Record<string, Answer[]>;
let asked: { path: string; after: string | undefined }[];

const encoder = new TextEncoder();
let streams: { send: (text: string) => void; end: () => void }[];

function stream(signal: AbortSignal | null | undefined): Response {
  const body = new ReadableStream<Uint8Array>({
    start(control) {
      signal?.addEventListener("abort", () => control.error(signal.reason));
      streams.push({ send: (text) => control.enqueue(encoder.encode(text)), end: () => control.close() });
    },
  });
  return new Response(body);
}

const leads = () => Response.json({ id: "m", hostname: "h", port: 1, leads: true, leader: { authority: "h:1" } });
const whole = (at: string) => () => Response.json({ at, columns: { recovered: ["id", "hostname"] }, recovered: { set: [["S0", "one"]] } });
const elsewhere = () => ({ type: "opaqueredirect", ok: false }) as Response;

beforeEach(() => {
  vi.useFakeTimers();
  [answers, asked, streams] = [{}, [], []];
  vi.stubGlobal("fetch", async (path: string, options?: RequestInit) => {
    const headers = (options?.headers ?? {}) as Record<string, string>;
    asked.push({ path, after: headers["Last-Event-ID"] });
    const next = answers[path]?.shift();
    if (!next) throw new TypeError("refused");
    return next(options?.signal);
  });
});

afterEach(() => {
  setHome(undefined);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function started() {
  const seen = { statuses: [] as Status[], hosts: [] as string[], masters: [] as string[], agents: [] as (string | undefined)[] };
  const clusters: Cluster[] = [];
  const link = new Link({
    changed: (cluster) => (clusters.push(cluster), seen.hosts.push([...cluster.recovered.values()].map((one) => one.hostname).join())),
    status: (status) => seen.statuses.push(status),
    masters: (masters) => seen.masters.push(masters.join()),
    agent: (known) => seen.agents.push(known.leader?.authority),
  });
  void link.run();
  return { link, seen, clusters };
}

const settle = () => vi.advanceTimersByTimeAsync(10);

it("waits longer and longer", () => {
  expect([1, 2, 3, 4, 5, 6].map(delay)).toEqual([2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

it("reads the whole, then what changes, and goes on where it was", async () => {
  answers = { leader: [leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream, stream] };
  const { seen } = started();
  await settle();
  expect(seen.hosts).toEqual(["one"]);
  expect(asked.at(-1)).toEqual({ path: "master/overview/changes", after: "m:1" });
  streams[0]?.send('id: m:2\nevent: change\ndata: {"recovered":{"set":[["S1","two"]]}}\n\n: heartbeat\nid: m:2\n\n');
  await settle();
  expect(seen.hosts.at(-1)).toBe("one,two");
  streams[0]?.end();
  await settle();
  expect(asked.at(-1)).toEqual({ path: "master/overview/changes", after: "m:2" });
  expect(seen.statuses.map((status) => status.kind)).toEqual(["live", "live"]);
});

it("hears of all masters, which has no place among the changes", async () => {
  answers = { leader: [leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream, stream] };
  const { seen } = started();
  await settle();
  streams[0]?.send(': heartbeat\nid: m:1\n\nevent: masters\ndata: ["h:1","other:1"]\n\n');
  await settle();
  expect(seen.masters).toEqual(["h:1,other:1"]);
  streams[0]?.end();
  await settle();
  expect(asked.at(-1)?.after).toBe("m:1");
});

it("stays with an agent that served it", async () => {
  const agent = () => Response.json({ id: "S0", agent: { process: "slave(1)" }, leads: false, leader: { hostname: "h", port: 5050, authority: "h:5050" } });
  const resources = { cpus: 4, mem: 100, disk: 0 };
  const held = { frameworks: [{ executors: [{ resources: { cpus: 1 } }] }] };
  const state = () => Response.json({ id: "S0", hostname: "one", pid: "slave(1)@127.0.0.1:5051", version: "1", resources, attributes: {}, ...held });
  answers = { leader: [agent, agent, agent], "slave(1)/state": [state, state] };
  const { seen, clusters } = started();
  await settle();
  expect(seen.agents).toEqual(["h:5050"]);
  const found = clusters.at(-1)?.agents.get("S0");
  expect([found?.hostname, found?.total.cpus, found?.used.cpus, found?.active]).toEqual(["one", 4, 1, true]);
  await vi.advanceTimersByTimeAsync(5100);
  expect(seen.agents.length).toBe(2);
  await vi.advanceTimersByTimeAsync(5100);
  expect(seen.statuses.at(-1)).toMatchObject({ kind: "lost" });
  expect(asked.some((one) => one.path.startsWith("master/"))).toBe(false);
});

it("a page without a master goes to the leader, or in the end to anybody", () => {
  const tried = [
    { authority: "dead:1", lives: false, leads: false },
    { authority: "standby:1", lives: true, leads: false },
  ];
  expect(successor(tried, 5000)).toBeUndefined();
  expect(successor(tried, DESPAIR)).toBe("standby:1");
  expect(successor([...tried, { authority: "leader:1", lives: true, leads: true }], 0)).toBe("leader:1");
  expect(successor([], DESPAIR)).toBeUndefined();
});

it("begins anew when too much was missed", async () => {
  answers = { leader: [leads, leads], "master/overview": [whole("m:1"), whole("m:9")], "master/overview/changes": [stream, stream] };
  started();
  await settle();
  streams[0]?.send("id: m:9\nevent: reset\ndata: {}\n\n");
  await settle();
  expect(asked.map((one) => one.path)).toEqual([
    "leader",
    "master/overview",
    "master/overview/changes",
    "leader",
    "master/overview",
    "master/overview/changes",
  ]);
  expect(asked.at(-1)?.after).toBe("m:9");
});

it("says that the master is gone, keeps what it has, and comes back", async () => {
  answers = { leader: [leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream] };
  const { link, seen } = started();
  await settle();
  streams[0]?.end();
  await settle();
  const lost = seen.statuses.at(-1);
  expect(lost).toMatchObject({ kind: "lost", why: "it cannot be reached" });
  expect(seen.hosts).toEqual(["one"]);
  answers["master/overview/changes"] = [stream];
  link.retry();
  await settle();
  expect(seen.statuses.at(-1)?.kind).toBe("live");
  expect(asked.at(-1)?.after).toBe("m:1");
});

it("notices silence", async () => {
  answers = { leader: [leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream, stream] };
  const { seen } = started();
  await settle();
  await vi.advanceTimersByTimeAsync(41_000);
  expect(seen.statuses.filter((status) => status.kind === "live").length).toBe(2);
});

it("tells who leads instead", async () => {
  const standby = () => Response.json({ id: "m", hostname: "h", port: 1, leads: false, leader: { authority: "other:1" } });
  answers = { leader: [standby, standby, leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream, elsewhere] };
  const { seen } = started();
  await settle();
  expect(seen.statuses.at(-1)).toMatchObject({ kind: "standby", known: { leader: { authority: "other:1" } } });
  await vi.advanceTimersByTimeAsync(2100);
  expect(seen.statuses.at(-1)?.kind).toBe("live");
});

it("asks nothing while nobody looks", async () => {
  answers = { leader: [leads], "master/overview": [whole("m:1")], "master/overview/changes": [stream, stream] };
  const { link, seen } = started();
  await settle();
  link.hide(true);
  await settle();
  expect(seen.statuses.at(-1)?.kind).toBe("paused");
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(600_000);
  expect(asked.length).toBe(before);
  link.hide(false);
  await settle();
  expect(seen.statuses.at(-1)?.kind).toBe("live");
});
