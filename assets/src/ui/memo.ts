/** A component that is drawn again only if `same` says that its properties differ. */

import { Component, type ComponentChild, type FunctionComponent, h } from "preact";

export function memo<P extends object>(draw: FunctionComponent<P>, same: (before: P, now: P) => boolean): FunctionComponent<P & { key?: unknown }> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props as P, next);
    }

    override render(): ComponentChild {
      return h(draw as FunctionComponent<object>, this.props as object);
    }
  }
  return Memo as unknown as FunctionComponent<P & { key?: unknown }>;
}
