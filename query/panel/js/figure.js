// A drawing with its words: a summary for who does not see it, and its numbers as a table for who wants them.
import { el, show } from "./dom.js";

// Figure frames a drawing. Its table is made when it is asked for.
export class Figure {
  root;
  drawing = el("div");
  #note = el("span", { class: "quiet" });
  #toggle = el(
    "button",
    { class: "plain", type: "button", "aria-expanded": "false", onclick: () => this.#turn() },
    "Show numbers",
  );
  #table = el("div", { class: "table-frame", tabindex: "0", role: "region", hidden: true });
  #rows = () => ({ head: [], rows: [] });

  constructor(title) {
    this.#table.setAttribute("aria-label", `${title}, numbers`);
    this.root = el(
      "figure",
      { class: "panel" },
      el("figcaption", {}, el("h2", {}, title), this.#note, this.#toggle),
      this.drawing,
      this.#table,
    );
  }

  // say gives the note beside the title, and what makes {head, rows} of the table.
  say(note, rows) {
    show(this.#note, note);
    this.#rows = rows;
    if (!this.#table.hidden) this.#fill();
  }

  #turn() {
    this.#table.hidden = !this.#table.hidden;
    this.drawing.hidden = !this.#table.hidden;
    this.#toggle.setAttribute("aria-expanded", String(!this.#table.hidden));
    show(this.#toggle, this.#table.hidden ? "Show numbers" : "Show drawing");
    if (!this.#table.hidden) this.#fill();
  }

  #fill() {
    const { head, rows } = this.#rows();
    const numbers = (index) => (index > 0 ? "number" : null);
    show(
      this.#table,
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            head.map((cell, index) => el("th", { scope: "col", class: numbers(index) }, cell)),
          ),
        ),
        el(
          "tbody",
          {},
          rows.map((cells) =>
            el(
              "tr",
              {},
              cells.map((cell, index) => el("td", { class: numbers(index) }, cell)),
            ),
          ),
        ),
      ),
    );
  }
}
