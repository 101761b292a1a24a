/** Where in the pages one is: the part of the address behind `#`, with the routes of Apache Mesos's own pages. */

export type Params = Record<string, string>;

export interface Place {
  /** Of `ROUTES`; none if no route leads there. */
  name: Name | undefined;
  params: Params;
  query: URLSearchParams;
}

export const ROUTES = {
  home: "/",
  frameworks: "/frameworks",
  framework: "/frameworks/:framework",
  task: "/frameworks/:framework/tasks/:task",
  agents: "/agents",
  agent: "/agents/:agent",
  agentBrowse: "/agents/:agent/browse",
  agentFile: "/agents/:agent/file",
  agentFramework: "/agents/:agent/frameworks/:framework",
  executor: "/agents/:agent/frameworks/:framework/executors/:executor",
  executorBrowse: "/agents/:agent/frameworks/:framework/executors/:executor/browse",
  taskBrowse: "/agents/:agent/frameworks/:framework/executors/:executor/tasks/:task/browse",
  roles: "/roles",
  offers: "/offers",
  maintenance: "/maintenance",
  log: "/log",
  help: "/help",
  helpPage: "/help/:process/:endpoint",
} as const;

export type Name = keyof typeof ROUTES;

const PATTERNS = Object.entries(ROUTES).map(([name, path]) => ({ name: name as Name, parts: path.split("/") }));

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Reads `#/agents/ID?find=x`. Names of before 1.0 (`/slaves`) lead to the same places. */
export function parse(hash: string): Place {
  const text = hash.replace(/^#!?/, "");
  const [path = "", query = ""] = split(text);
  let parts = path.replace(/\/+$/, "").split("/");
  if (parts[0] !== "") parts = ["", ...parts];
  if (parts[1] === "slaves") parts[1] = "agents";
  if (parts.length === 1) parts = ["", ""];
  for (const { name, parts: pattern } of PATTERNS) {
    if (pattern.length !== parts.length) continue;
    const params: Params = {};
    const fits = pattern.every((wanted, at) => {
      const part = parts[at] ?? "";
      if (!wanted.startsWith(":")) return wanted === part;
      params[wanted.slice(1)] = decoded(part);
      return part !== "";
    });
    if (fits) return { name, params, query: new URLSearchParams(query) };
  }
  return { name: undefined, params: {}, query: new URLSearchParams(query) };
}

function split(text: string): [string, string] {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** Pages that only a master has. */
const OF_MASTERS: ReadonlySet<Name> = new Set<Name>(["frameworks", "framework", "task", "agents", "roles", "offers", "maintenance", "log"]);

/** Where they are, if these are an agent's pages: `//host:port/`. */
let masters = "";

/** Links to pages that only a master has lead to that one from now on. */
export function setMasters(address: string): void {
  masters = address;
}

export function isOfMasters(name: Name): boolean {
  return OF_MASTERS.has(name);
}

/** `#/agents/ID`; what a query does not say is left out of it. */
export function link(name: Name, params: Params = {}, query: Record<string, string | undefined> = {}): string {
  const path = ROUTES[name].replace(/:(\w+)/g, (_, key: string) => encodeURIComponent(params[key] ?? ""));
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const text = new URLSearchParams(pairs).toString();
  return `${OF_MASTERS.has(name) ? masters : ""}#${path}${text ? `?${text}` : ""}`;
}
