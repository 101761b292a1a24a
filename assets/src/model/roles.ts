/** Roles as `/roles` tells them, as a tree. */

import { natural } from "./order";
import type { Amounts } from "./wire";

export interface Role {
  name: string;
  weight: number;
  frameworks: string[];
  allocated: Amounts;
  offered: Amounts;
  reserved: Amounts;
  quota: { consumed: Partial<Amounts>; guarantee: Partial<Amounts>; limit: Partial<Amounts> };
}

export interface Node {
  /** None for a name that only others begin with. */
  role?: Role;
  name: string;
  /** The last part of the name. */
  label: string;
  depth: number;
  children: Node[];
}

interface Told {
  name: string;
  weight?: number;
  frameworks?: string[];
  allocated?: Partial<Amounts>;
  offered?: Partial<Amounts>;
  reserved?: Partial<Amounts>;
  quota?: { consumed?: Partial<Amounts>; guarantee?: Partial<Amounts>; limit?: Partial<Amounts> };
}

function all(part: Partial<Amounts> | undefined): Amounts {
  return { cpus: part?.cpus ?? 0, gpus: part?.gpus ?? 0, mem: part?.mem ?? 0, disk: part?.disk ?? 0 };
}

export function read(answer: { roles?: Told[] }): Role[] {
  return (answer.roles ?? []).map((role) => ({
    name: role.name,
    weight: role.weight ?? 1,
    frameworks: role.frameworks ?? [],
    allocated: all(role.allocated),
    offered: all(role.offered),
    reserved: all(role.reserved),
    quota: {
      consumed: role.quota?.consumed ?? {},
      guarantee: role.quota?.guarantee ?? {},
      limit: role.quota?.limit ?? {},
    },
  }));
}

/** The roots, each with what is below it, in natural order. */
export function tree(roles: Role[]): Node[] {
  const nodes = new Map<string, Node>();
  const roots: Node[] = [];
  const node = (name: string): Node => {
    const known = nodes.get(name);
    if (known) return known;
    const cut = name.lastIndexOf("/");
    const parent = cut > 0 ? node(name.slice(0, cut)) : undefined;
    const made: Node = { name, label: name.slice(cut + 1), depth: parent ? parent.depth + 1 : 0, children: [] };
    (parent?.children ?? roots).push(made);
    nodes.set(name, made);
    return made;
  };
  for (const role of roles) node(role.name).role = role;
  const sort = (list: Node[]) => {
    list.sort((a, b) => (natural(a.label) < natural(b.label) ? -1 : 1));
    for (const one of list) sort(one.children);
  };
  sort(roots);
  return roots;
}

/** Nodes in the order shown: below a closed one nothing is. */
export function shown(roots: Node[], closed: ReadonlySet<string>): Node[] {
  return roots.flatMap((node) => [node, ...(closed.has(node.name) ? [] : shown(node.children, closed))]);
}
