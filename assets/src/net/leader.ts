/** Who leads, as masters and agents tell it. */

export interface Leader {
  id?: string;
  hostname: string;
  port: number;
  /** `host:port`. */
  authority: string;
}

/** What any master answers of who leads, and an agent of whom it follows. */
export interface Known {
  id: string;
  hostname: string;
  port: number;
  version: string;
  cluster: string | null;
  leads: boolean;
  leader: Leader | null;
  /** Its process, if an agent answered. */
  agent?: { process: string };
}

/** What became of asking a master who leads. */
export interface Tried {
  authority: string;
  /** It lives; what it said may not be read by a page that came from an address that it does not know. */
  lives: boolean;
  leads: boolean;
}

/** Milliseconds after which any master that lives will do: it knows where to go on. */
export const DESPAIR = 30_000;

/** Where a page goes whose master has been gone so long. */
export function successor(tried: Tried[], gone: number): string | undefined {
  const leader = tried.find((one) => one.leads);
  return leader?.authority ?? (gone >= DESPAIR ? tried.find((one) => one.lives)?.authority : undefined);
}
