/** The Markdown of help pages, as far as it is used there: heads, lines of code behind `>`, text. */

export interface Block {
  kind: "head" | "code" | "text";
  text: string;
}

export function read(markdown: string): Block[] {
  const out: Block[] = [];
  let fresh = true;
  for (const line of markdown.split("\n")) {
    const head = /^#+ (.*?) ?#*$/.exec(line);
    const code = /^> {2,}(.*)$/.exec(line);
    const kind = head ? "head" : code ? "code" : "text";
    const text = head?.[1] ?? (code ? line.replace(/^> {1,8}/, "") : line);
    if (line.trim() === "" && kind === "text") {
      fresh = true;
      continue;
    }
    const last = out.at(-1);
    if (last && last.kind === kind && kind !== "head" && (!fresh || kind === "code")) last.text += (kind === "code" ? "\n" : " ") + text;
    else out.push({ kind, text });
    fresh = false;
  }
  return out;
}
