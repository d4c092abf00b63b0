/**
 * One piece of a document turned into another with as few changes as there are differences.
 *
 * Nodes are compared in order, which is right for a text that grows at its end: what is equal
 * stays as it is, with the selection in it, and text that only became longer is only added to.
 */

/**
 * Make the nodes behind `after` in `parent` (behind null: from the first) equal to `nodes`.
 * Gives the last of them. Nodes that are left over stay, for what is placed next.
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

/** Remove all nodes behind `after`. */
export function trimAfter(parent: Node, after: ChildNode | null): void {
  const next = (): ChildNode | null => (after === null ? parent.firstChild : after.nextSibling);
  for (let node = next(); node !== null; node = next()) node.remove();
}

function morph(parent: Node, found: ChildNode | null, wanted: ChildNode): ChildNode {
  if (found === null) {
    parent.appendChild(wanted);
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

function dress(found: Element, wanted: Element): void {
  for (const name of found.getAttributeNames()) {
    if (!wanted.hasAttribute(name)) found.removeAttribute(name);
  }
  for (const name of wanted.getAttributeNames()) {
    const value = wanted.getAttribute(name) ?? "";
    if (found.getAttribute(name) !== value) found.setAttribute(name, value);
  }
}
