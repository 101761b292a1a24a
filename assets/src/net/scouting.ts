/** Sends the scout while the page's own master is gone. */

import { type Tried, successor } from "./leader";

/** Milliseconds between two rounds. */
const PERIOD = 2000;

export class Scouting {
  private scout: Worker | undefined;
  private others: string[] = [];
  private since: number | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  /** `go` is told where the leader is, once. */
  constructor(private go: (authority: string) => void) {}

  /** The other masters. The scout is fetched anew, as its policy names those that it may ask. */
  know(others: string[]): void {
    if (others.join() === this.others.join()) return;
    this.others = others;
    this.scout?.terminate();
    this.scout = undefined;
    if (others.length === 0) return;
    try {
      this.scout = new Worker(new URL("./scout.ts", import.meta.url), { type: "module", name: "scout" });
    } catch {
      // The page still says where other masters are.
      return;
    }
    this.scout.addEventListener("message", (event: MessageEvent<Tried[]>) => this.heard(event.data));
  }

  /** The page's master cannot be reached. */
  start(): void {
    if (this.since !== undefined) return;
    this.since = Date.now();
    this.timer = setInterval(() => this.ask(), PERIOD);
    this.ask();
  }

  /** It can, again. */
  stop(): void {
    clearInterval(this.timer);
    this.since = undefined;
  }

  private ask(): void {
    this.scout?.postMessage({ scheme: location.protocol, masters: this.others });
  }

  private heard(tried: Tried[]): void {
    if (this.since === undefined) return;
    const found = successor(tried, Date.now() - this.since);
    if (found === undefined) return;
    this.stop();
    this.go(found);
  }
}
