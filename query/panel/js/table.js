// What tables share: headings that sort, and rows that can be walked with the keyboard.
import { el } from "./dom.js";
import { untrusted } from "./text.js";

// Headings is the head of a table. A column is {name, label, number, key}; key gives what is compared, and a column
// without one cannot be sorted by.
export class Headings {
  row;
  #columns;
  #order;
  #changed;

  constructor(columns, order, changed) {
    this.#columns = columns;
    this.#order = order; // {name, down}
    this.#changed = changed;
    this.row = el("tr", { role: "row" });
    this.#draw();
  }

  by(name, down) {
    this.#order = { name, down };
    this.#draw();
    this.#changed();
  }

  // sorted returns the items in order. Items without a value come last whichever way; equal ones stay as they are.
  sorted(items) {
    const { name, down } = this.#order;
    const key = this.#columns.find((column) => column.name === name).key;
    const sign = down ? -1 : 1;
    return items
      .map((item) => [key(item), item])
      .sort(([a], [b]) => {
        if (a === null || a === undefined || b === null || b === undefined)
          return (a ?? null) === null ? ((b ?? null) === null ? 0 : 1) : -1;
        return sign * (a < b ? -1 : a > b ? 1 : 0);
      })
      .map(([, item]) => item);
  }

  #draw() {
    const focused = this.row.contains(document.activeElement) ? document.activeElement.dataset.column : null;
    this.row.replaceChildren(...this.#columns.map((column) => this.#cell(column)));
    if (focused) this.row.querySelector(`[data-column="${focused}"]`)?.focus();
  }

  #cell({ name, label, number, key }) {
    const chosen = name === this.#order.name;
    const properties = { scope: "col", role: "columnheader", class: number ? "number" : null };
    if (!key) return el("th", properties, label);
    properties["aria-sort"] = chosen ? (this.#order.down ? "descending" : "ascending") : "none";
    return el(
      "th",
      properties,
      el(
        "button",
        {
          type: "button",
          "data-column": name,
          onclick: () => this.by(name, chosen ? !this.#order.down : Boolean(number)),
        },
        label,
      ),
    );
  }
}

// walk lets j and k, and inside the table the arrow keys, Home and End, move from row to row: to each row's own link or
// button, which Enter opens. It returns a function that ends it.
export function walk(body) {
  const stops = () => [...body.querySelectorAll("[data-stop]")];
  const listener = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog"))
      return;
    const inside = body.contains(document.activeElement);
    const all = stops();
    const at = all.findIndex((stop) => stop.closest("tr") === document.activeElement?.closest("tr"));
    const to = {
      j: at + 1,
      k: Math.max(0, at - 1),
      ...(inside && { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: all.length - 1 }),
    }[event.key];
    if (to === undefined || all.length === 0) return;
    event.preventDefault();
    const stop = all[Math.min(to, all.length - 1)];
    stop.focus({ preventScroll: true });
    stop.closest("tr").scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", listener);
  return () => document.removeEventListener("keydown", listener);
}

// message shows the beginning of a long text, and all of it when it is pressed.
export function message(text) {
  const button = el(
    "button",
    { class: "plain-text", type: "button", "data-stop": true, "aria-expanded": "false" },
    untrusted(text),
  );
  button.addEventListener("click", () => {
    const open = button.closest("tr").classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
  });
  return button;
}
