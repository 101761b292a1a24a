/** What an agent says of itself, and ways to find things in it. */

import { Cluster } from "../model/cluster";
import { add } from "../model/text";
import { type Agent, type Amounts, NOTHING } from "../model/wire";
import { json, ofAgent } from "./http";
import type { Leader } from "./leader";

export interface AgentTask {
  id: string;
  name: string;
  role?: string;
  state?: string;
  resources: Partial<Amounts>;
  limits?: { cpus?: number | string; mem?: number | string };
  statuses?: { state: string; timestamp: number; healthy?: boolean }[];
}

export interface Executor {
  id: string;
  name: string;
  source: string;
  role?: string;
  type?: string;
  container: string;
  directory: string;
  resources: Partial<Amounts>;
  tasks: AgentTask[];
  queued_tasks: AgentTask[];
  completed_tasks: AgentTask[];
}

export interface AgentFramework {
  id: string;
  name: string;
  user: string;
  role?: string;
  roles?: string[];
  executors: Executor[];
  completed_executors: Executor[];
}

export interface AgentState {
  id: string;
  hostname: string;
  pid: string;
  version: string;
  build_time: number;
  build_user: string;
  start_time: number;
  master_hostname?: string;
  log_dir?: string;
  external_log_file?: string;
  resources: Record<string, number | string>;
  reserved_resources: Record<string, Record<string, number | string>>;
  unreserved_resources: Record<string, number | string>;
  attributes: Record<string, number | string>;
  flags: Record<string, string>;
  frameworks: AgentFramework[];
  completed_frameworks: AgentFramework[];
}

export function agentState(id: string, signal?: AbortSignal): Promise<AgentState> {
  return json<AgentState>(ofAgent(id, "state"), signal);
}

export function fill(part: Partial<Amounts> | undefined): Amounts {
  return { cpus: part?.cpus ?? 0, gpus: part?.gpus ?? 0, mem: part?.mem ?? 0, disk: part?.disk ?? 0 };
}

export function rolesOf(framework: AgentFramework): string[] {
  return framework.roles ?? (framework.role ? [framework.role] : []);
}

export function frameworkOf(state: AgentState, id: string): AgentFramework | undefined {
  return [...state.frameworks, ...state.completed_frameworks].find((one) => one.id === id);
}

/** The latest run of an executor, wherever the agent has it. */
export function executorOf(state: AgentState, framework: string, executor: string): Executor | undefined {
  for (const one of [...state.frameworks, ...state.completed_frameworks]) {
    if (one.id !== framework) continue;
    const found = one.executors.find((known) => known.id === executor) ?? one.completed_executors.findLast((known) => known.id === executor);
    if (found) return found;
  }
  return undefined;
}

/** Where a task's files are: executors that run task groups keep a folder for each task. */
export function sandboxOf(executor: Executor, task: string | undefined): string {
  return task !== undefined && executor.type === "DEFAULT" ? `${executor.directory}/tasks/${task}` : executor.directory;
}

/** What pages of an agent itself know of its cluster: this one agent, and where its master is. */
export function clusterOf(state: AgentState, leader: Leader | null): Cluster {
  const cluster = new Cluster({});
  const [hostname, port] = leader ? [leader.hostname, leader.port] : ["", 0];
  cluster.master = { ...cluster.master, hostname, port, version: state.version };
  const used = state.frameworks.flatMap((one) => one.executors).reduce((sum, one) => add(sum, fill(one.resources)), NOTHING);
  const total = fill(state.resources as Partial<Amounts>);
  const agent: Agent = {
    id: state.id || NAMELESS,
    hostname: state.hostname,
    pid: state.pid,
    version: state.version,
    active: leader !== null && state.id !== "",
    registered: null,
    reregistered: null,
    total,
    used,
    attributes: state.attributes,
    reserved: {},
    region: "",
    zone: "",
  };
  cluster.agents.set(agent.id, agent);
  cluster.totals = { ...cluster.totals, total, used };
  return cluster;
}

/** In addresses, an agent that no master has given an id yet. */
const NAMELESS = "-";

export interface FileInfo {
  path: string;
  mode: string;
  nlink: number;
  uid: string;
  gid: string;
  size: number;
  mtime: number;
}
