/** A line of a log as spans with colours: classes, so that themes choose them and no style comes from a log. */

import Anser from "anser";
import { afterReturn } from "./pail";

export interface Span {
  text: string;
  classes: string;
}

const MOVES = /\u001b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)/g;

export function spans(raw: string): Span[] {
  const line = afterReturn(raw);
  if (!line.includes("\u001b")) return [{ text: line, classes: "" }];
  const entries = Anser.ansiToJson(line.replace(MOVES, ""), { use_classes: true, remove_empty: true });
  return entries.map((entry) => {
    const names = [colour(entry.fg, "fg"), colour(entry.bg, "bg"), ...(entry.decorations ?? []).map((one) => `ansi-${one}`)];
    return { text: entry.content, classes: names.filter(Boolean).join(" ") };
  });
}

function colour(name: string | null, kind: "fg" | "bg"): string {
  // Of 256 and of true colours only the sixteen that themes know.
  return name && /^ansi-(bright-)?(black|red|green|yellow|blue|magenta|cyan|white)$/.test(name) ? `${kind}-${name}` : "";
}
