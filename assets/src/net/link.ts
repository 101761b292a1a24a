/** Keeps a page at the leader: reads the cluster, follows what changes, waits and comes back. A page that an agent
 * served stays with the agent. Tests play the master by what `fetch` answers. */

import { EventSourceParserStream } from "eventsource-parser/stream";
import { Cluster, type Told } from "../model/cluster";
import { type AgentState, clusterOf } from "./agent";
import { Elsewhere, get, json, ofAgent, setHome, why } from "./http";
import type { Known } from "./leader";

export type Status =
  | { kind: "connecting" }
  | { kind: "live" }
  /** Hidden, so nothing is asked for. */
  | { kind: "paused" }
  /** The master cannot be reached; it is tried again at `again`, milliseconds as `Date.now()`. */
  | { kind: "lost"; again: number; why: string }
  /** The master lives and does not lead. */
  | { kind: "standby"; known: Known };

/** Milliseconds until the next try, after so many that failed: 2 s, doubling, at most 30 s. */
export function delay(failures: number): number {
  return Math.min(30_000, 2000 * 2 ** Math.max(0, failures - 1));
}

/** Milliseconds between two looks at an agent. */
const LOOK = 5000;

/** Beyond this the stream is taken for dead; there is a comment every 15 s. */
const SILENCE = 40_000;

export interface Listener {
  /** The cluster was read anew, or changed. */
  changed(cluster: Cluster): void;
  status(status: Status): void;
  /** All masters that stand, the leader first. */
  masters(authorities: string[]): void;
  /** It is an agent that served the page. */
  agent(known: Known): void;
}

export class Link {
  private cluster: Cluster | undefined;
  private isAgent = false;
  private life = new AbortController();
  private wake: () => void = () => undefined;
  private hidden = false;

  constructor(private listener: Listener) {}

  /** For ever. */
  async run(): Promise<never> {
    let failures = 0;
    for (;;) {
      if (this.hidden) {
        this.listener.status({ kind: "paused" });
        await this.pause();
      }
      this.life = new AbortController();
      try {
        await this.follow(() => (failures = 0));
        // It ended, or said that too much was missed: at once anew.
      } catch (error) {
        if (this.hidden) continue;
        if (error instanceof Elsewhere || error instanceof Standby) {
          if (await this.stand()) continue;
        }
        failures += 1;
        // A stream that broke is tried at once: a leader that is told to end closes it in good order.
        if (failures > 1 || !this.cluster) {
          const wait = delay(this.cluster ? failures - 1 : failures);
          this.listener.status({ kind: "lost", again: Date.now() + wait, why: why(error) });
          await this.pause(wait);
        }
      }
    }
  }

  /** Tries now. */
  retry(): void {
    this.wake();
  }

  /** A page that nobody sees costs nothing; it goes on where it was. */
  hide(hidden: boolean): void {
    if (this.hidden === hidden) return;
    this.hidden = hidden;
    if (hidden) this.life.abort();
    this.wake();
  }

  private pause(milliseconds?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async known(): Promise<Known> {
    const patience = 10_000;
    return (await (await get("leader", { signal: this.life.signal, patience })).json()) as Known;
  }

  /** Waits beside a master that does not lead; false if it leads by now, or cannot be asked. */
  private async stand(): Promise<boolean> {
    try {
      const known = await this.known();
      if (known.leads) return false;
      this.listener.status({ kind: "standby", known });
      await this.pause(2000);
      return true;
    } catch {
      return false;
    }
  }

  /** Looks at the agent that served the page, now and then. */
  private async visit(works: () => void): Promise<void> {
    const { signal } = this.life;
    while (!signal.aborted) {
      const [known, state] = await Promise.all([this.known(), json<AgentState>(ofAgent("", "state"), signal)]);
      works();
      this.cluster = clusterOf(state, known.leader);
      this.listener.agent(known);
      this.listener.status({ kind: "live" });
      this.listener.changed(this.cluster);
      await this.pause(LOOK);
    }
  }

  private async follow(works: () => void): Promise<void> {
    const { signal } = this.life;
    if (this.isAgent) return this.visit(works);
    if (!this.cluster) {
      const known = await this.known();
      if (known.agent) {
        this.isAgent = true;
        setHome(known.agent.process);
        return this.visit(works);
      }
      if (!known.leads) throw new Standby();
      this.cluster = Cluster.of(await json<Told>("master/overview", signal));
      this.listener.changed(this.cluster);
    }
    const cluster = this.cluster;
    const response = await get("master/overview/changes", {
      signal,
      patience: 0x7fffffff,
      headers: { Accept: "text/event-stream", "Last-Event-ID": cluster.at },
    });
    works();
    this.listener.status({ kind: "live" });
    let silence = setTimeout(() => this.life.abort(new Error("nothing was heard of it")), SILENCE);
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.life.abort(new Error("nothing was heard of it")), SILENCE);
    };
    try {
      const body = response.body;
      if (!body) throw new Error("the answer is empty");
      const events = body
        .pipeThrough(new TransformStream<Uint8Array, BufferSource>({ transform: (piece, out) => (heard(), out.enqueue(piece as BufferSource)) }))
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      for (;;) {
        const { done, value } = await events.read();
        if (done) throw new Error("it closed the connection");
        if (value.event === "reset") {
          this.cluster = undefined;
          return;
        }
        if (value.event === "masters") this.listener.masters(JSON.parse(value.data) as string[]);
        if (value.event !== "change") continue;
        cluster.apply(JSON.parse(value.data) as Told);
        if (value.id) cluster.at = value.id;
        this.listener.changed(cluster);
      }
    } finally {
      clearTimeout(silence);
    }
  }
}

class Standby extends Error {}
