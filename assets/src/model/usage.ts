/** What executors use, from the measurements of their agent. */

export interface Statistics {
  timestamp: number;
  cpus_limit?: number;
  cpus_user_time_secs?: number;
  cpus_system_time_secs?: number;
  mem_limit_bytes?: number;
  mem_rss_bytes?: number;
  mem_total_bytes?: number;
  disk_used_bytes?: number;
  disk_limit_bytes?: number;
  [name: string]: unknown;
}

export interface Measured {
  executor_id: string;
  framework_id: string;
  statistics: Statistics;
}

/** One moment of one executor, or of several together. */
export interface Point {
  at: number;
  /** None from a single measurement: it is time used between two. */
  cpus: number | null;
  /** Bytes. */
  mem: number;
  disk: number;
  cpusLimit: number;
  memLimit: number;
}

export function keyOf(one: { framework_id: string; executor_id: string }): string {
  return `${one.framework_id}/${one.executor_id}`;
}

/** Points of a while, by executor. Bounded in time and number. */
export class History {
  private last = new Map<string, Statistics>();
  readonly points = new Map<string, Point[]>();
  /** All executors together, at each look. */
  total: Point[] = [];

  constructor(private most = 400) {}

  add(all: Measured[]): void {
    const present = new Set<string>();
    for (const one of all) {
      const key = keyOf(one);
      present.add(key);
      const before = this.last.get(key);
      if (before && before.timestamp === one.statistics.timestamp) continue;
      this.last.set(key, one.statistics);
      const points = this.points.get(key) ?? [];
      points.push(point(before, one.statistics));
      if (points.length > this.most) points.splice(0, points.length - this.most);
      this.points.set(key, points);
    }
    for (const key of this.last.keys()) {
      if (!present.has(key)) {
        this.last.delete(key);
        this.points.delete(key);
      }
    }
    const at = Math.max(0, ...all.map((one) => one.statistics.timestamp));
    if (at > (this.total.at(-1)?.at ?? 0)) {
      const sum: Point = { at, cpus: null, mem: 0, disk: 0, cpusLimit: 0, memLimit: 0 };
      for (const key of present) {
        const one = this.latest(key);
        if (!one) continue;
        if (one.cpus !== null) sum.cpus = (sum.cpus ?? 0) + one.cpus;
        sum.mem += one.mem;
        sum.disk += one.disk;
        sum.cpusLimit += one.cpusLimit;
        sum.memLimit += one.memLimit;
      }
      this.total = [...this.total, sum].slice(-this.most);
    }
  }

  latest(key: string): Point | undefined {
    return this.points.get(key)?.at(-1);
  }

  /** The sum of some executors as they are now; cpus as far as they are known. */
  sum(keys: Iterable<string>): { cpus: number | null; mem: number; disk: number } {
    let [cpus, mem, disk]: [number | null, number, number] = [null, 0, 0];
    for (const key of keys) {
      const one = this.latest(key);
      if (!one) continue;
      if (one.cpus !== null) cpus = (cpus ?? 0) + one.cpus;
      mem += one.mem;
      disk += one.disk;
    }
    return { cpus, mem, disk };
  }
}

function point(before: Statistics | undefined, now: Statistics): Point {
  const time = (one: Statistics) => (one.cpus_user_time_secs ?? 0) + (one.cpus_system_time_secs ?? 0);
  const passed = before ? now.timestamp - before.timestamp : 0;
  return {
    at: now.timestamp,
    cpus: before && passed > 0 ? Math.max(0, (time(now) - time(before)) / passed) : null,
    mem: now.mem_total_bytes ?? now.mem_rss_bytes ?? 0,
    disk: now.disk_used_bytes ?? 0,
    cpusLimit: now.cpus_limit ?? 0,
    memLimit: now.mem_limit_bytes ?? 0,
  };
}

/** Of one resource: how much of the last ten seconds somebody waited for it, in percent. */
interface Waiting {
  some?: { avg10: number };
}

export interface Pressure {
  cpu?: Waiting;
  memory?: Waiting;
  io?: Waiting;
}

/** What an agent says of it; what its kernel does not tell is absent. */
export interface PressureAnswer {
  machine: Pressure;
  executors: { framework_id: string; executor_id: string; pressure: Pressure }[];
}

export interface PressurePoint {
  at: number;
  cpu: number | null;
  memory: number | null;
  io: number | null;
}

/** Points of a while, of the machine and by executor. Bounded in time and number. */
export class PressureHistory {
  machine: PressurePoint[] = [];
  private executors = new Map<string, PressurePoint[]>();

  constructor(private most = 400) {}

  /** `at`: seconds since 1970. */
  add(at: number, answer: PressureAnswer): void {
    this.machine = this.longer(this.machine, at, answer.machine);
    const present = answer.executors.map((one) => [keyOf(one), this.longer(this.executors.get(keyOf(one)) ?? [], at, one.pressure)] as const);
    this.executors = new Map(present);
  }

  of(key: string): PressurePoint[] {
    return this.executors.get(key) ?? [];
  }

  private longer(points: PressurePoint[], at: number, { cpu, memory, io }: Pressure): PressurePoint[] {
    if (!cpu && !memory && !io) return points;
    const share = (waiting: Waiting | undefined) => waiting?.some?.avg10 ?? null;
    return [...points, { at, cpu: share(cpu), memory: share(memory), io: share(io) }].slice(-this.most);
  }
}
