// Makes nodes. Text gets in as text nodes only: nothing here, and nothing else in the panel, parses markup.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element. Properties that begin with "on" are listeners; null, undefined and false are left out.
export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// svg makes an element of a drawing.
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// place sets lengths that only data knows. The content policy forbids style attributes, not this.
export function place(node, lengths) {
  for (const [name, value] of Object.entries(lengths)) node.style.setProperty(name, value);
  return node;
}

// show replaces what a node holds.
export function show(node, ...children) {
  node.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

// arrange brings the children of a node into this order and removes others. Nodes that stand right are not touched, so
// that focus, selection and animations stay with them.
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let place = parent.firstElementChild;
  for (const node of nodes) {
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
}
