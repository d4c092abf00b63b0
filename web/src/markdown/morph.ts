/**
 * Turns one piece of a document into another with as few changes as possible.
 *
 * Nodes are compared in order, which is right for a text that grows at its end: equal nodes stay,
 * with the selection in them, and text that only became longer is only extended.
 */

/** What elements show whose content is not their own to compare: it is replaced only if this differs. */
const sealed = new WeakMap<Node, string>();

/** Compare an element by this key and not by its content, which may change after it was made. */
export function seal(element: Element, key: string): void {
  sealed.set(element, key);
}

/**
 * Make the nodes after `after` in `parent` (null: from the first) equal to `nodes`, and return the
 * last of them. Surplus nodes stay, to be reused for what comes next.
 */
export function morphAfter(
  parent: Node,
  after: ChildNode | null,
  nodes: readonly ChildNode[],
): ChildNode | null {
  let last = after;
  for (const wanted of nodes) {
    const found = last === null ? parent.firstChild : last.nextSibling;
    last = morph(parent, found, wanted);
  }
  return last;
}

/** Remove all nodes after `after`. */
export function trimAfter(parent: Node, after: ChildNode | null): void {
  const next = (): ChildNode | null => (after === null ? parent.firstChild : after.nextSibling);
  for (let node = next(); node !== null; node = next()) node.remove();
}

function morph(parent: Node, found: ChildNode | null, wanted: ChildNode): ChildNode {
  if (found === null) {
    parent.appendChild(wanted);
    return wanted;
  }
  if (sealed.has(found) || sealed.has(wanted)) {
    if (sealed.get(found) === sealed.get(wanted)) return found;
    found.replaceWith(wanted);
    return wanted;
  }
  if (found instanceof Text && wanted instanceof Text) {
    write(found, wanted.data);
    return found;
  }
  if (!(found instanceof Element) || !(wanted instanceof Element) || found.tagName !== wanted.tagName) {
    found.replaceWith(wanted);
    return wanted;
  }
  dress(found, wanted);
  trimAfter(found, morphAfter(found, null, [...wanted.childNodes]));
  return found;
}

function write(found: Text, wanted: string): void {
  if (found.data === wanted) return;
  if (wanted.startsWith(found.data)) found.appendData(wanted.slice(found.data.length));
  else found.data = wanted;
}

/** The element after `after` in `parent` (null: the first) if it has this tag, or a new one there. */
export function elementAfter(parent: Node, after: ChildNode | null, wanted: Element): Element {
  const found = after === null ? parent.firstChild : after.nextSibling;
  if (found instanceof Element && found.tagName === wanted.tagName && !sealed.has(found)) {
    dress(found, wanted);
    return found;
  }
  parent.insertBefore(wanted, found);
  return wanted;
}

function dress(found: Element, wanted: Element): void {
  for (const name of found.getAttributeNames()) {
    if (!wanted.hasAttribute(name)) found.removeAttribute(name);
  }
  for (const name of wanted.getAttributeNames()) {
    const value = wanted.getAttribute(name) ?? "";
    if (found.getAttribute(name) !== value) found.setAttribute(name, value);
  }
}
