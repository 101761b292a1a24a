/** Questions to the master that served this page, and through it to agents. Addresses are relative: a proxy may
 * serve the page below a path of its own. */

/** An answer that was no success; `text` is what the server said. */
export class Fault extends Error {
  constructor(
    readonly status: number,
    readonly text: string,
  ) {
    super(text || `the server answered ${status}`);
  }
}

/** The master that was asked does not lead. */
export class Elsewhere extends Error {}

const PATIENCE = 30_000;

export async function get(path: string, options: { signal?: AbortSignal; patience?: number; headers?: HeadersInit } = {}): Promise<Response> {
  const signals = [AbortSignal.timeout(options.patience ?? PATIENCE)];
  if (options.signal) signals.push(options.signal);
  // A redirect is to another master, which this page may not read from.
  const response = await fetch(path, {
    redirect: "manual",
    cache: "no-cache",
    signal: AbortSignal.any(signals),
    ...(options.headers ? { headers: options.headers } : {}),
  });
  if (response.type === "opaqueredirect") throw new Elsewhere("this master does not lead");
  if (!response.ok) throw new Fault(response.status, (await response.text()).slice(0, 2000));
  return response;
}

export async function json<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await get(path, signal ? { signal } : {})).json()) as T;
}

/** Changes something; the answer has nothing to say but that it was done. */
export async function post(path: string, form: Record<string, string>): Promise<void> {
  const response = await fetch(path, {
    method: "POST",
    redirect: "manual",
    body: new URLSearchParams(form),
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (response.type === "opaqueredirect") throw new Elsewhere("this master does not lead any more");
  if (!response.ok) throw new Fault(response.status, (await response.text()).slice(0, 2000));
}

/** The agent's own process, `slave(1)`, if it was an agent that served the page. */
let home: string | undefined;

export function setHome(process: string | undefined): void {
  home = process;
}

/** What belongs to no process of the agent, but to its port. */
const OF_PORT = /^(files|metrics)\//;

/** Where an agent's endpoint is read: through the master, or at the agent that served the page. */
export function ofAgent(agent: string, path: string, query: Record<string, string> = {}): string {
  const text = new URLSearchParams(query).toString();
  const base = home === undefined ? `master/agent/${encodeURIComponent(agent)}/` : OF_PORT.test(path) ? "" : `${home}/`;
  return `${base}${path}${text ? `?${text}` : ""}`;
}

export function why(error: unknown): string {
  if (error instanceof DOMException && error.name === "TimeoutError") return "it does not answer in time";
  if (error instanceof TypeError) return "it cannot be reached";
  return error instanceof Error ? error.message : String(error);
}
