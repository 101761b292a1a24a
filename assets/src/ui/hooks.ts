/** Ways to look at what changes. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Cluster } from "../model/cluster";
import { why } from "../net/http";
import { cluster, revision } from "./state";

/** The cluster, drawn anew whenever it changed. Pages are shown only once there is one. */
export function useCluster(): Cluster {
  // Read, so that the component depends on it.
  void revision.value;
  const found = cluster.value;
  if (!found) throw new Error("pages are drawn behind the first overview");
  return found;
}

/** Computed anew when the cluster changed, or one of these. */
export function useDerived<T>(compute: (cluster: Cluster) => T, inputs: unknown[] = []): T {
  const found = useCluster();
  return useMemo(() => compute(found), [found, revision.value, ...inputs]);
}

export interface Polled<T> {
  /** The last that was read, also while reading fails. */
  value: T | undefined;
  fault: string | undefined;
  /** Milliseconds as `Date.now()` when it was read. */
  at: number;
}

/** Asks now and then, as long as it is looked at; `key` names what is asked for. */
export function usePolled<T>(key: string | undefined, ask: (signal: AbortSignal) => Promise<T>, period: number): Polled<T> {
  const [state, setState] = useState<Polled<T> & { key: string | undefined }>({ key, value: undefined, fault: undefined, at: 0 });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key === undefined) return;
    const life = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const turn = async () => {
      let took = 0;
      if (!document.hidden) {
        const began = performance.now();
        try {
          const value = await latest.current(life.signal);
          if (life.signal.aborted) return;
          setState({ key, value, fault: undefined, at: Date.now() });
        } catch (error) {
          if (life.signal.aborted) return;
          setState((before) => ({ key, value: before.key === key ? before.value : undefined, fault: why(error), at: before.at }));
        }
        took = performance.now() - began;
      }
      timer = setTimeout(turn, Math.max(period, took * 5));
    };
    void turn();
    return () => {
      life.abort();
      clearTimeout(timer);
    };
  }, [key, period]);
  return state.key === key ? state : { value: undefined, fault: undefined, at: 0 };
}
