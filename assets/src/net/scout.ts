/** A worker that asks other masters who leads, when the page's own is gone.
 *
 * The policy of the page allows questions to its own master only. A worker has its own policy, from the answer that
 * brought its script: that names the masters there are (`src/webui.rs`), and nothing else. */

import type { Tried } from "./leader";

/** Milliseconds that a master has to answer. */
const PATIENCE = 4000;

async function ask(scheme: string, authority: string): Promise<Tried> {
  const url = `${scheme}//${authority}/master/leader`;
  const options: RequestInit = { credentials: "omit", cache: "no-store", redirect: "error" };
  try {
    const answer = await fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE) });
    return { authority, lives: true, leads: ((await answer.json()) as { leads?: unknown }).leads === true };
  } catch {
    // It may live, and not know the address that the page came from.
    try {
      await fetch(url, { ...options, redirect: "follow", mode: "no-cors", signal: AbortSignal.timeout(PATIENCE) });
      return { authority, lives: true, leads: false };
    } catch {
      return { authority, lives: false, leads: false };
    }
  }
}

addEventListener("message", (event: MessageEvent<{ scheme: string; masters: string[] }>) => {
  const { scheme, masters } = event.data;
  void Promise.all(masters.map((authority) => ask(scheme, authority))).then((tried) => postMessage(tried));
});
