/** What a page knows of the cluster: the whole once, then changes. Nothing here waits, asks or draws. */

import {
  type Agent,
  type Away,
  type Columns,
  type Framework,
  type Master,
  NOTHING,
  type Recovered,
  type Row,
  type Task,
  type Totals,
  agentReader,
  amounts,
  reader,
  taskReader,
} from "./wire";

interface Keyed {
  set?: Row[];
  gone?: string[];
}

interface Ring {
  dropped?: number;
  added?: Row[];
}

interface TaskLists {
  active?: Keyed;
  unreachable?: Keyed;
  completed?: Ring;
}

/** A change, or the whole. */
export interface Told {
  at?: string;
  columns?: Columns;
  master?: Master;
  totals?: { agents: Totals["agents"]; tasks: Totals["tasks"]; total: Row; used: Row; offered: Row; offers: number };
  agents?: Keyed;
  recovered?: Keyed;
  unreachable?: Keyed;
  frameworks?: Keyed;
  completed_frameworks?: Ring;
  tasks?: Record<string, TaskLists>;
  completed_framework_tasks?: Record<string, TaskLists>;
}

/** Tasks of one framework. */
export class Tasks {
  active = new Map<string, Task>();
  unreachable = new Map<string, Task>();
  /** Oldest first. */
  completed: Task[] = [];

  /** The latest of that id. */
  find(id: string): Task | undefined {
    return this.active.get(id) ?? this.unreachable.get(id) ?? this.completed.findLast((task) => task.id === id);
  }
}

const NO_TOTALS: Totals = {
  agents: { active: 0, inactive: 0, unreachable: 0, recovered: 0 },
  tasks: {},
  total: NOTHING,
  used: NOTHING,
  offered: NOTHING,
  offers: 0,
};

const NO_MASTER: Master = {
  id: "",
  pid: "",
  hostname: "",
  port: 0,
  version: "",
  build_time: 0,
  build_user: "",
  start_time: 0,
  elected_time: 0,
  has_log: false,
};

export class Cluster {
  /** Where it stands among the changes; empty if it knows nothing yet. */
  at = "";
  master: Master = NO_MASTER;
  totals: Totals = NO_TOTALS;
  agents = new Map<string, Agent>();
  recovered = new Map<string, Recovered>();
  unreachable = new Map<string, Away>();
  frameworks = new Map<string, Framework>();
  /** Oldest first. */
  completedFrameworks: Framework[] = [];
  tasks = new Map<string, Tasks>();

  private readAgent;
  private readRecovered;
  private readAway;
  private readFramework;
  private readTask;

  constructor(columns: Columns) {
    const of = (name: string) => columns[name] ?? [];
    this.readAgent = agentReader(of("agent"));
    this.readRecovered = reader<Recovered>(of("recovered"));
    this.readAway = reader<Away>(of("unreachable"));
    this.readFramework = reader<Framework>(of("framework"), ["used", "offered"]);
    this.readTask = taskReader(of("task"));
  }

  static of(whole: Told): Cluster {
    const cluster = new Cluster(whole.columns ?? {});
    cluster.apply(whole);
    cluster.at = whole.at ?? "";
    return cluster;
  }

  apply(told: Told): void {
    if (told.master) this.master = told.master;
    if (told.totals) {
      const { total, used, offered, ...rest } = told.totals;
      this.totals = { ...rest, total: amounts(total), used: amounts(used), offered: amounts(offered) };
    }
    keyed(this.agents, told.agents, this.readAgent);
    keyed(this.recovered, told.recovered, this.readRecovered);
    keyed(this.unreachable, told.unreachable, this.readAway);
    keyed(this.frameworks, told.frameworks, this.readFramework);
    for (const id of told.frameworks?.gone ?? []) this.tasks.delete(id);
    if (told.completed_frameworks) {
      this.completedFrameworks = ring(this.completedFrameworks, told.completed_frameworks, this.readFramework);
    }
    for (const [id, lists] of Object.entries(told.tasks ?? {})) this.applyTasks(id, lists);
    for (const [id, lists] of Object.entries(told.completed_framework_tasks ?? {})) {
      this.tasks.delete(id);
      this.applyTasks(id, lists);
    }
    if (told.completed_frameworks?.dropped) {
      const there = new Set([...this.frameworks.keys(), ...this.completedFrameworks.map((one) => one.id)]);
      for (const id of this.tasks.keys()) if (!there.has(id)) this.tasks.delete(id);
    }
  }

  private applyTasks(id: string, lists: TaskLists): void {
    const read = (row: Row) => this.readTask(id, row);
    let tasks = this.tasks.get(id);
    if (!tasks) this.tasks.set(id, (tasks = new Tasks()));
    keyed(tasks.active, lists.active, read);
    keyed(tasks.unreachable, lists.unreachable, read);
    if (lists.completed) tasks.completed = ring(tasks.completed, lists.completed, read);
  }

  /** There or completed. */
  framework(id: string): Framework | undefined {
    return this.frameworks.get(id) ?? this.completedFrameworks.findLast((one) => one.id === id);
  }

  isCompleted(id: string): boolean {
    return !this.frameworks.has(id) && this.completedFrameworks.some((one) => one.id === id);
  }

  tasksOf(framework: string): Tasks {
    return this.tasks.get(framework) ?? new Tasks();
  }

  all(list: "active" | "unreachable" | "completed"): Task[] {
    const out: Task[] = [];
    for (const tasks of this.tasks.values()) for (const task of tasks[list].values()) out.push(task);
    return out;
  }

  /** How many tasks that run, or are about to, each agent has. */
  tasksByAgent(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const tasks of this.tasks.values()) {
      for (const task of tasks.active.values()) counts.set(task.agent, (counts.get(task.agent) ?? 0) + 1);
    }
    return counts;
  }
}

function keyed<T>(map: Map<string, T>, part: Keyed | undefined, read: (row: Row) => T): void {
  for (const id of part?.gone ?? []) map.delete(id);
  for (const row of part?.set ?? []) map.set(row[0] as string, read(row));
}

function ring<T>(list: T[], part: Ring, read: (row: Row) => T): T[] {
  return [...list.slice(part.dropped ?? 0), ...(part.added ?? []).map(read)];
}
