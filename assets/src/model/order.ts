/** Rows found, sorted and cut into pages, as a table shows them. */

export type Value = string | number | boolean | null | undefined;

/** A text whose plain order is the natural one: `task-9` comes before `task-59`. */
export function natural(text: string): string {
  return text.toLowerCase().replace(/\d+/g, (digits) => {
    const plain = digits.replace(/^0+(?=\d)/, "");
    // The number's length decides first; 0 to 9 digits as one character, more as two.
    const length = plain.length;
    return `${length < 10 ? length : `:${String.fromCharCode(48 + Math.min(length, 1000))}`}${plain}`;
  });
}

function key(value: Value): string | number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return value ? natural(value) : "";
}

/** Rows in the order of a value; what has none comes last, whatever the direction. Equal ones keep their order. */
export function sorted<T>(rows: T[], value: (row: T) => Value, descending: boolean): T[] {
  const keyed = rows.map((row) => {
    const found = value(row);
    return { row, key: key(found), none: found === null || found === undefined || found === "" };
  });
  const sign = descending ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.none !== b.none) return a.none ? 1 : -1;
    if (typeof a.key !== typeof b.key) return typeof a.key === "number" ? -1 : 1;
    return a.key < b.key ? -sign : a.key > b.key ? sign : 0;
  });
  return keyed.map((one) => one.row);
}

/** Rows of which every word occurs in one of the texts. */
export function found<T>(rows: T[], texts: (row: T) => string[], wanted: string): T[] {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const all = texts(row).join("\n").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** Page numbers to offer, `0` for a gap: the first, the last and those around the present one. */
export function pages(present: number, last: number): number[] {
  const near = [1, present - 1, present, present + 1, last].filter((page) => page >= 1 && page <= last);
  const out: number[] = [];
  for (const page of [...new Set(near)].sort((a, b) => a - b)) {
    const before = out.at(-1) ?? 0;
    if (page - before === 2) out.push(page - 1);
    else if (page - before > 2) out.push(0);
    out.push(page);
  }
  return out;
}
