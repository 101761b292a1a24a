/** Paths of files on an agent, from the sandbox down. */

export interface Step {
  label: string;
  path: string;
}

const RUN = /^(.*\/runs\/[^/]+)(?:\/(.*))?$/;

/** Where one may go up to: a sandbox's own folder, and what is below it. Names may come twice in a path. */
export function steps(path: string): Step[] {
  const found = RUN.exec(path);
  if (!found) return [{ label: path, path }];
  const [, root = "", rest = ""] = found;
  const out: Step[] = [{ label: "sandbox", path: root }];
  let at = root;
  for (const part of rest.split("/").filter(Boolean)) {
    at = `${at}/${part}`;
    out.push({ label: part, path: at });
  }
  return out;
}

export function nameOf(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? path;
}

/** Folders first, each in natural order. */
export function isFolder(mode: string): boolean {
  return mode.startsWith("d");
}
