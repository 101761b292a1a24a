/** A piece of a file, read from its end backwards and followed as it grows: what a file window shows. */

/** Bytes asked for at once: the most that the server gives. */
export const PAGE = 64 * 1024;
/** Bytes held at most; the far end is let go, and read again when one goes there. */
export const MOST = 2 * 1024 * 1024;

/** Bytes `start` to `end` of the file. */
export interface Chunk {
  start: number;
  end: number;
  text: string;
}

/** Chunks that follow each other. */
export type Pail = Chunk[];

export interface Range {
  offset: number;
  length: number;
}

/** What to read first of a file of so many bytes: its end. */
export function first(size: number): Range {
  const offset = Math.max(0, size - PAGE);
  return { offset, length: size - offset };
}

/** What to read to see what is before; none at the beginning. */
export function before(pail: Pail): Range | undefined {
  const start = pail[0]?.start ?? 0;
  if (start === 0) return undefined;
  const offset = Math.max(0, start - PAGE);
  return { offset, length: start - offset };
}

/** What to read to see what came since; none if nothing did, and `cut` if the file became shorter. */
export function after(pail: Pail, size: number): Range | undefined | "cut" {
  const end = pail.at(-1)?.end ?? 0;
  if (size < end) return "cut";
  if (size === end) return undefined;
  return { offset: end, length: Math.min(PAGE, size - end) };
}

export function prepended(pail: Pail, chunk: Chunk, most = MOST): Pail {
  const all = [chunk, ...pail];
  while (all.length > 1 && held(all) > most) all.pop();
  return all;
}

export function appended(pail: Pail, chunk: Chunk, most = MOST): Pail {
  const all = [...pail];
  const last = all.at(-1);
  // Small additions would be as many chunks.
  if (last && last.end - last.start + (chunk.end - chunk.start) <= PAGE) {
    all[all.length - 1] = { start: last.start, end: chunk.end, text: last.text + chunk.text };
  } else all.push(chunk);
  while (all.length > 1 && held(all) > most) all.shift();
  return all;
}

function held(pail: Pail): number {
  return (pail.at(-1)?.end ?? 0) - (pail[0]?.start ?? 0);
}

/** Lines that end in one chunk, drawn together. */
export interface Block {
  key: number;
  lines: string[];
}

/** The lines of all chunks. One that begins in a chunk and ends in the next belongs to the next. */
export function blocks(pail: Pail): Block[] {
  let open = "";
  return pail.map((chunk, at) => {
    const text = open + chunk.text;
    const last = at === pail.length - 1;
    const cut = last ? text.length : text.lastIndexOf("\n") + 1;
    open = text.slice(cut);
    const lines = text.slice(0, cut).split("\n");
    if (lines.at(-1) === "") lines.pop();
    return { key: chunk.start, lines };
  });
}

// What terminals read: sequences that begin with ESC.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;

/** A line without what only a terminal reads. A carriage return begins it anew, as bars of progress do. */
export function plain(line: string): string {
  const shown = line.includes("\u001b") ? line.replace(ESCAPES, "") : line;
  return afterReturn(shown);
}

export function afterReturn(line: string): string {
  if (!line.includes("\r")) return line;
  return line.replace(/\r+$/, "").split("\r").at(-1) ?? "";
}

/** Parts of a line, each second one an occurrence of a text, whatever its case. */
export function parted(line: string, wanted: string): string[] {
  if (!wanted) return [line];
  const [small, small_wanted] = [line.toLowerCase(), wanted.toLowerCase()];
  // Letters whose small form is longer would shift what follows.
  if (small.length !== line.length) return [line];
  const out: string[] = [];
  let from = 0;
  for (;;) {
    const at = small.indexOf(small_wanted, from);
    if (at < 0) break;
    out.push(line.slice(from, at), line.slice(at, at + wanted.length));
    from = at + wanted.length;
  }
  out.push(line.slice(from));
  return out;
}
