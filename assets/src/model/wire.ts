/** Rows of `/overview` as objects. A row is an array; the overview says what its places are called. */

export type State = string;

/** Of cpus and gpus as many, of memory and disk megabytes. */
export interface Amounts {
  cpus: number;
  gpus: number;
  mem: number;
  disk: number;
}

export interface Task extends Amounts {
  id: string;
  framework: string;
  name: string;
  agent: string;
  /** Empty if it is a command: its agent knows an executor by the task's id. */
  executor: string;
  role: string;
  /** Without `TASK_`. */
  state: State;
  healthy: boolean | null;
  /** Seconds since 1970, as all times. */
  started: number | null;
  updated: number | null;
}

export interface Agent {
  id: string;
  hostname: string;
  pid: string;
  version: string;
  active: boolean;
  registered: number | null;
  reregistered: number | null;
  total: Amounts;
  used: Amounts;
  attributes: Record<string, string | number>;
  reserved: Record<string, Amounts>;
  region: string;
  zone: string;
}

export interface Framework {
  id: string;
  name: string;
  user: string;
  hostname: string;
  principal: string;
  webui_url: string;
  roles: string[];
  active: boolean;
  connected: boolean;
  recovered: boolean;
  registered: number | null;
  reregistered: number | null;
  unregistered: number | null;
  failover_timeout: number;
  checkpoint: boolean;
  capabilities: string[];
  used: Amounts;
  offered: Amounts;
}

export interface Recovered {
  id: string;
  hostname: string;
}

export interface Away {
  id: string;
  since: number | null;
}

export interface Offer {
  id: string;
  framework: string;
  agent: string;
  role: string;
  made: number | null;
  resources: Amounts;
}

export interface Master {
  id: string;
  pid: string;
  hostname: string;
  port: number;
  version: string;
  git_sha?: string;
  build_time: number;
  build_user: string;
  start_time: number;
  elected_time: number;
  cluster?: string;
  has_log: boolean;
}

export interface Totals {
  agents: { active: number; inactive: number; unreachable: number; recovered: number };
  tasks: Record<string, number>;
  total: Amounts;
  used: Amounts;
  offered: Amounts;
  offers: number;
}

export type Row = unknown[];
export type Columns = Record<string, string[]>;

export const NOTHING: Amounts = { cpus: 0, gpus: 0, mem: 0, disk: 0 };

export function amounts(row: unknown): Amounts {
  const [cpus = 0, gpus = 0, mem = 0, disk = 0] = Array.isArray(row) ? (row as number[]) : [];
  return { cpus, gpus, mem, disk };
}

/** Reads a row; a column that this page does not know is kept under its name. */
export function reader<T>(columns: string[], amountsOf: string[] = []): (row: Row) => T {
  return (row) => {
    const out: Record<string, unknown> = {};
    columns.forEach((name, at) => {
      out[name] = amountsOf.includes(name) ? amounts(row[at]) : row[at];
    });
    return out as T;
  };
}

/** As `reader`, for what there are a hundred thousand of: one shape, and equal texts only once. */
export function taskReader(columns: string[]): (framework: string, row: Row) => Task {
  const place = (name: string) => columns.indexOf(name);
  const [id, name, agent, executor, role, state] = ["id", "name", "agent", "executor", "role", "state"].map(place) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [healthy, started, updated] = ["healthy", "started", "updated"].map(place) as [number, number, number];
  const [cpus, gpus, mem, disk] = ["cpus", "gpus", "mem", "disk"].map(place) as [number, number, number, number];
  const texts = new Map<string, string>();
  const shared = (text: unknown): string => {
    const known = texts.get(text as string);
    if (known !== undefined) return known;
    // Bounded: agents come and go for ever.
    if (texts.size > 50_000) texts.clear();
    texts.set(text as string, text as string);
    return text as string;
  };
  return (framework, row) => ({
    id: row[id] as string,
    framework,
    name: row[name] as string,
    agent: shared(row[agent]),
    executor: row[executor] as string,
    role: shared(row[role]),
    state: shared(row[state]),
    healthy: row[healthy] as boolean | null,
    started: row[started] as number | null,
    updated: row[updated] as number | null,
    cpus: row[cpus] as number,
    gpus: row[gpus] as number,
    mem: row[mem] as number,
    disk: row[disk] as number,
  });
}

export function agentReader(columns: string[]): (row: Row) => Agent {
  const read = reader<Agent>(columns, ["total", "used"]);
  return (row) => {
    const agent = read(row);
    const reserved = Object.entries(agent.reserved ?? {}).map(([role, held]) => [role, amounts(held)] as const);
    return { ...agent, reserved: Object.fromEntries(reserved) };
  };
}
