/** Finds agents, frameworks and tasks by what they are called. */

import type { Cluster } from "./cluster";
import { type Name, type Params, link } from "./route";

export interface Hit {
  kind: "agent" | "framework" | "task" | "page" | "role";
  label: string;
  detail: string;
  href: string;
  score: number;
}

/** Also by what they were once called. */
const PLACES: [string, Name, ...string[]][] = [
  ["Home", "home"],
  ["Frameworks", "frameworks"],
  ["Agents", "agents", "Slaves"],
  ["Roles", "roles"],
  ["Offers", "offers"],
  ["Maintenance", "maintenance"],
  ["Log of the master", "log"],
  ["Help", "help"],
];

/** How well every word fits; 0 if one does not. The whole name is best, then its beginning, then that of a part. */
function fit(words: string[], name: string, others: string[]): number {
  let sum = 0;
  // Nearly all are called otherwise, which is found out first.
  for (const word of words) if (!has(name, word) && !others.some((other) => has(other, word))) return 0;
  for (const word of words) {
    const of = (text: string, weight: number): number => {
      const at = text.toLowerCase().indexOf(word);
      if (at < 0) return 0;
      const whole = text.length === word.length ? 4 : 0;
      const begins = at === 0 ? 3 : /[^a-z0-9]/i.test(text[at - 1] ?? "") ? 2 : 1;
      const ends = at + word.length === text.length ? 1 : 0;
      return weight * (whole + begins + ends);
    };
    const best = Math.max(of(name, 2), ...others.map((other) => of(other, 1)));
    if (best === 0) return 0;
    sum += best;
  }
  return sum;
}

function has(text: string, word: string): boolean {
  return text.toLowerCase().includes(word);
}

export function search(cluster: Cluster, wanted: string, most = 40): Hit[] {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const hits: Hit[] = [];
  const add = (kind: Hit["kind"], label: string, others: string[], detail: string, name: Name, params: Params, bonus = 0) => {
    const score = fit(words, label, others);
    if (score > 0) hits.push({ kind, label, detail, href: link(name, params), score: score + bonus });
  };
  for (const [label, name, ...others] of PLACES) add("page", label, others, "page", name, {}, 1);
  for (const one of [...cluster.frameworks.values(), ...cluster.completedFrameworks]) {
    add("framework", one.name || one.id, [one.id, one.user, ...one.roles], one.id, "framework", { framework: one.id }, 0.5);
  }
  for (const one of cluster.agents.values()) {
    add("agent", one.hostname, [one.id, one.pid], one.id, "agent", { agent: one.id }, 0.5);
  }
  for (const [framework, tasks] of cluster.tasks) {
    const name = cluster.framework(framework)?.name ?? framework;
    const each = (list: Iterable<{ id: string; name: string; state: string }>, bonus: number) => {
      for (const task of list) {
        const detail = `${task.state.toLowerCase()} · ${name}`;
        add("task", task.id, [task.name], detail, "task", { framework, task: task.id }, bonus);
      }
    };
    each(tasks.active.values(), 0.3);
    each(tasks.unreachable.values(), 0.2);
    each(tasks.completed, 0);
  }
  hits.sort((a, b) => b.score - a.score || (a.label.length - b.label.length) || (a.label < b.label ? -1 : 1));
  const seen = new Set<string>();
  return hits.filter((hit) => !seen.has(hit.href) && seen.add(hit.href)).slice(0, most);
}
