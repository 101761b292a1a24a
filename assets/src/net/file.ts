/** Reads pieces of a file that a master or an agent shows. */

import type { Chunk, Range } from "../model/pail";
import { json, ofAgent } from "./http";

export interface Source {
  /** None for a file of the master. */
  agent: string | undefined;
  path: string;
}

interface Answer {
  data: string;
  offset: number;
}

function address(source: Source, query: Record<string, string>): string {
  const all = { path: source.path, ...query };
  if (source.agent !== undefined) return ofAgent(source.agent, "files/read", all);
  return `files/read?${new URLSearchParams(all)}`;
}

export async function sizeOf(source: Source, signal?: AbortSignal): Promise<number> {
  return (await json<Answer>(address(source, {}), signal)).offset;
}

/** Bytes that are there: so many are read. */
export async function read(source: Source, range: Range, signal?: AbortSignal): Promise<Chunk> {
  const query = { offset: String(range.offset), length: String(range.length) };
  const { data } = await json<Answer>(address(source, query), signal);
  return { start: range.offset, end: range.offset + range.length, text: data };
}

export function downloadOf(source: Source): string {
  if (source.agent !== undefined) return ofAgent(source.agent, "files/download", { path: source.path });
  return `files/download?${new URLSearchParams({ path: source.path })}`;
}
