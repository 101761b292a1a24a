/** An hour of updates, told as fast as the page takes them: it holds no more in the end than it did at first.
 *
 * The master is played, so that a second of a busy cluster need not take one. */

import { readFileSync } from "node:fs";
import { type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, resolve } from "node:path";
import type { CDPSession, Page } from "playwright-core";
import { afterAll, expect, it } from "vitest";
import { closeBrowser, open, until } from "./harness";

const [AGENTS, TASKS, KEPT] = [500, 5000, 1000];
/** Changes of an hour, one each second, and what happens in each. */
const [HOUR, ENDED, TOUCHED] = [3600, 30, 20];
const PARTS = 6;

const COLUMNS = {
  agent: ["id", "hostname", "pid", "version", "active", "registered", "reregistered", "total", "used", "attributes", "reserved", "region", "zone"],
  recovered: ["id", "hostname"],
  unreachable: ["id", "since"],
  framework: ["id", "name", "user", "hostname", "principal", "webui_url", "roles", "active", "connected", "recovered", "registered", "reregistered", "unregistered", "failover_timeout", "checkpoint", "capabilities", "used", "offered"],
  task: ["id", "name", "agent", "executor", "role", "state", "healthy", "started", "updated", "cpus", "gpus", "mem", "disk"],
};

/** A busy cluster: each second some tasks end and others start, and what agents have in use changes. */
class Busy {
  second = 0;
  private stream: ServerResponse | undefined;

  private task(number: number, state: string) {
    return [`task-${number}`, `name-${number}`, `S${number % AGENTS}`, "", "*", state, null, 1.6e9 + number, 1.6e9 + number, 0.1, 0, 32, 0];
  }

  private agent(number: number, used: number) {
    return [`S${number}`, `host-${number}`, `slave(1)@127.0.0.1:${number}`, "1.11.0", true, 1.6e9, null, [32, 0, 65536, 1e6], [used % 32, 0, 1024 * (used % 64), 0], {}, {}, "", ""];
  }

  private totals() {
    return { agents: { active: AGENTS, inactive: 0, unreachable: 0, recovered: 0 }, tasks: { running: TASKS, finished: this.second }, total: [1, 0, 1, 1], used: [this.second % 7, 0, 0, 0], offered: [0, 0, 0, 0], offers: 0 };
  }

  whole(): string {
    const all = <T>(length: number, of: (at: number) => T) => Array.from({ length }, (_, at) => of(at));
    return JSON.stringify({
      at: `busy:${this.second}`,
      columns: COLUMNS,
      master: { id: "m", pid: "", hostname: "127.0.0.1", port: 1, version: "1", build_time: 1, build_user: "", start_time: 1, elected_time: 1, has_log: false },
      totals: this.totals(),
      agents: { set: all(AGENTS, (at) => this.agent(at, at)) },
      frameworks: { set: [["F", "busy", "u", "h", "", "", ["*"], true, true, false, 1.6e9, null, null, 0, false, [], [1, 0, 1, 0], [0, 0, 0, 0]]] },
      tasks: { F: { active: { set: all(TASKS, (at) => this.task(at, "RUNNING")) }, completed: { added: all(KEPT, (at) => this.task(at - KEPT, "FINISHED")) } } },
    });
  }

  /** What differs after one more second. */
  private change(): string {
    const first = this.second * ENDED;
    this.second += 1;
    const some = Array.from({ length: ENDED }, (_, at) => first + at);
    return JSON.stringify({
      totals: this.totals(),
      agents: { set: Array.from({ length: TOUCHED }, (_, at) => this.agent((this.second * TOUCHED + at) % AGENTS, this.second + at)) },
      tasks: { F: { active: { set: some.map((at) => this.task(at + TASKS, "RUNNING")), gone: some.map((at) => `task-${at}`) }, completed: { dropped: ENDED, added: some.map((at) => this.task(at, "FINISHED")) } } },
    });
  }

  follow(response: ServerResponse): void {
    this.stream = response;
    response.write(`: heartbeat\nid: busy:${this.second}\n\n`);
  }

  async pass(seconds: number): Promise<void> {
    for (let each = 0; each < seconds; each++) {
      const change = this.change();
      const flushed = this.stream?.write(`id: busy:${this.second}\nevent: change\ndata: ${change}\n\n`) ?? true;
      if (!flushed || each % 20 === 19) await new Promise((done) => setTimeout(done, 20));
    }
  }
}

const KINDS: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

async function serve(busy: Busy): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    const answer = (kind: string, body: string | Buffer) => response.writeHead(200, { "Content-Type": kind }).end(body);
    if (path === "/leader") answer("application/json", JSON.stringify({ id: "m", hostname: "127.0.0.1", port: 1, leads: true, leader: null }));
    else if (path === "/master/overview") answer("application/json", busy.whole());
    else if (path === "/master/overview/changes") busy.follow(response.writeHead(200, { "Content-Type": "text/event-stream" }));
    else if (path.startsWith("/master/")) response.writeHead(501).end("not played");
    else answer(KINDS[extname(path)] ?? "text/html", readFileSync(join(resolve("dist"), path === "/" ? "index.html" : path)));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => (server.closeAllConnections(), server.close()) };
}

/** MiB that scripts hold once nothing is left to be thrown away. */
async function held(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  return (metrics.find((one) => one.name === "JSHeapUsedSize")?.value ?? 0) / 2 ** 20;
}

/** A round through pages that draw what changed. */
async function round(page: Page): Promise<void> {
  for (const [hash, title] of [
    ["#/agents", "Agents"],
    ["#/agents?view=map", "Agents"],
    ["#/frameworks/F", "Framework busy"],
    ["#/", "Cluster"],
  ] as const) {
    await page.evaluate((to) => (location.hash = to), hash);
    await page.getByRole("heading", { level: 1, name: title }).waitFor();
  }
}

afterAll(closeBrowser);

it("an hour of updates leaves a page as it was", async () => {
  const busy = new Busy();
  const server = await serve(busy);
  const watched = await open(server.url);
  const { page } = watched;
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const card = page.locator(".card", { has: page.getByRole("heading", { name: "Tasks", exact: true }) });
  const caughtUp = () =>
    until("the page shows the present", async () => (await card.getByText("Finished").locator("..").locator("dd").textContent()) === busy.second.toLocaleString("en-US"), 60_000);
  const figures: number[] = [];
  // The first part is for what is made once and kept.
  for (let part = 1; part <= PARTS; part++) {
    await busy.pass(HOUR / PARTS);
    await caughtUp();
    await round(page);
    await caughtUp();
    figures.push(await held(session));
  }
  expect(busy.second).toBe(HOUR);
  console.info(`  memory of scripts over an hour of updates, MiB: ${figures.map((one) => one.toFixed(1)).join(" ")}`);
  const [before = 0, after = 0] = [figures[0], figures.at(-1)];
  expect(after, "MiB after the hour").toBeLessThan(before * 1.25 + 2);
  expect(watched.faults).toEqual([]);
  await watched.close();
  server.close();
});
