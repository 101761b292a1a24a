/** Clusters of real processes, and pages of a real browser. What is started here is ended here. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { expect } from "vitest";

export const MESOS = resolve(process.env.MESOS_BINARY ?? "../target/debug/mesos");

/** Served from here unless the binary's own are to be looked at. */
const DIST = process.env.MESOS_WEBUI_DIR;

export const SHOTS = resolve(process.env.MESOS_SHOTS ?? "shots");

const PATIENCE = 20_000;

export async function until<T>(what: string, look: () => Promise<T | undefined | false>, patience = PATIENCE): Promise<T> {
  const end = Date.now() + patience;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`, { cause: last });
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.on("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? done(address.port) : fail(new Error("no port"))));
    });
  });
}

/** Those that run: a test that failed leaves some. */
const running = new Set<Daemon>();

export class Daemon {
  private constructor(
    readonly process: ChildProcess,
    private log: string[],
  ) {}

  static start(args: string[]): Daemon {
    const log: string[] = [];
    if (!existsSync(MESOS)) throw new Error(`there is no ${MESOS}: set MESOS_BINARY`);
    const child = spawn(MESOS, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece: Buffer) => log.length < 5000 && log.push(String(piece)));
    const daemon = new Daemon(child, log);
    running.add(daemon);
    child.once("exit", () => running.delete(daemon));
    return daemon;
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  said(): string {
    return this.log.join("");
  }

  /** Ends it and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.ended) return;
    const gone = new Promise((done) => this.process.once("exit", done));
    this.process.kill(signal);
    const forced = setTimeout(() => this.process.kill("SIGKILL"), 10_000);
    await gone;
    clearTimeout(forced);
  }
}

const folders: string[] = [];

/** A folder that goes at the end of the file of tests. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "mesos-webui."));
  folders.push(dir);
  return dir;
}

export class Cluster {
  private constructor(
    readonly daemon: Daemon,
    readonly port: number,
    readonly dir: string,
  ) {}

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `http://${this.address}/`;
  }

  static async start(args: string[] = [], agents = 2): Promise<Cluster> {
    const [dir, port] = [scratch(), await freePort()];
    const pages = DIST && !args.some((arg) => arg.startsWith("--webui_dir")) ? [`--webui_dir=${resolve(DIST)}`] : [];
    const daemon = Daemon.start(["local", `--num_slaves=${agents}`, "--ip=127.0.0.1", `--port=${port}`, `--work_dir=${dir}/work`, ...pages, ...args]);
    const cluster = new Cluster(daemon, port, dir);
    await until("the cluster serves", async () => {
      if (daemon.ended) throw new Error(daemon.said());
      return (await cluster.state()).slaves.length === agents;
    });
    return cluster;
  }

  // biome-ignore lint: what comes is looked into by each test
  async state(): Promise<any> {
    return (await fetch(`${this.url}state`)).json();
  }

  /** Runs a command as a task; comes back when `mesos execute` ends. */
  execute(name: string, command: string, more: string[] = []): Daemon {
    return Daemon.start(["execute", `--master=${this.address}`, `--name=${name}`, `--command=${command}`, ...more]);
  }

  async running(name: string): Promise<{ framework: string; agent: string }> {
    return until(`${name} runs`, async () => {
      for (const framework of (await this.state()).frameworks) {
        const task = framework.tasks.find((one: { name: string; state: string }) => one.name === name && one.state === "TASK_RUNNING");
        if (task) return { framework: framework.id as string, agent: task.slave_id as string };
      }
      return false;
    });
  }

  async stop(): Promise<void> {
    await this.daemon.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

let browser: Browser | undefined;

async function theBrowser(): Promise<Browser> {
  const path = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((one) => existsSync(one));
  browser ??= await chromium.launch({ ...(path ? { executablePath: path } : {}), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  return browser;
}

/** The end of a file of tests: also of what those that failed did not end. */
export async function closeBrowser(): Promise<void> {
  await Promise.all([...running].map((daemon) => daemon.stop()));
  await browser?.close();
  browser = undefined;
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
}

/** A page that remembers what went wrong in it. */
export interface Watched {
  page: Page;
  context: BrowserContext;
  faults: string[];
  close: () => Promise<void>;
}

export async function open(url: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await (await theBrowser()).newContext({ viewport: { width: 1400, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const faults: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("data:")) faults.push(`foreign request: ${request.url()}`);
  });
  await page.goto(url);
  return { page, context, faults, close: () => context.close() };
}

export async function shot(page: Page, name: string, fullPage = true): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage });
}

/** Whether the page is wider than its window. */
export function sideways(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** Serious faults of accessibility, in words. */
export async function unreachable(page: Page): Promise<string[]> {
  // The page's own policy forbids scripts that are put into it; this one comes through the debugger.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { target: string[]; failureSummary: string }[] }[] }> } };
    return (await axe.run()).violations.map((one) => ({ id: one.id, impact: one.impact, where: one.nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary}`) }));
  });
  return found.filter((one) => one.impact === "serious" || one.impact === "critical").map((one) => `${one.id}: ${one.where.join(" | ")}`);
}

/** How each page is looked at: at two widths, in the light and in the dark. */
export const LOOKS = [
  { name: "wide", viewport: { width: 1400, height: 900 }, colorScheme: "light" },
  { name: "wide-dark", viewport: { width: 1400, height: 900 }, colorScheme: "dark" },
  { name: "narrow", viewport: { width: 420, height: 800 }, colorScheme: "light" },
  { name: "narrow-dark", viewport: { width: 420, height: 800 }, colorScheme: "dark" },
] as const;

/** A picture of the page in each look. It is never wider than its window, and can be read by all unless there is no time to find out. */
export async function album(page: Page, name: string, { full = true, hasty = false } = {}): Promise<void> {
  for (const look of LOOKS) {
    await page.setViewportSize(look.viewport);
    await page.emulateMedia({ colorScheme: look.colorScheme });
    await shot(page, `${look.name}-${name}`, full);
    expect(await sideways(page), `${name}, ${look.name}, is wider than its window`).toBeLessThanOrEqual(0);
    if (!hasty) expect(await unreachable(page), `${name}, ${look.name}`).toEqual([]);
  }
  await page.setViewportSize(LOOKS[0].viewport);
  await page.emulateMedia({ colorScheme: LOOKS[0].colorScheme });
}
