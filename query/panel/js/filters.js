// The filters of the list of runs. They stand in the page's address, so that a list can be linked to.
import { CAMPAIGN, address, request } from "./api.js";
import { el } from "./dom.js";
import { hasKey } from "./key.js";

// windows are how far back to look, and by which step their begin moves: while it stands still, a question is the same
// question, which the server answers without asking its database where nothing changed.
const windows = [
  { name: "1h", label: "1 h", words: "the last hour", length: 3600e3, step: 60e3 },
  { name: "24h", label: "24 h", words: "the last 24 hours", length: 86_400e3, step: 300e3 },
  { name: "7d", label: "7 d", words: "the last 7 days", length: 7 * 86_400e3, step: 3600e3 },
  { name: "30d", label: "30 d", words: "the last 30 days", length: 30 * 86_400e3, step: 3600e3 },
  { name: "all", label: "All", words: "all time" },
];
const USUAL = "24h";
const statuses = ["running", "stalled", "completed", "failed", "cancelled"];
const fields = ["campaignId", "runId", "phase", "status"];

// Filters tells changed() when what the API is asked for is another, and searched() when the search is.
export class Filters {
  root;
  #values;
  #window;
  #search;
  #changed;
  #exports = []; // aim the links at what the filters are

  constructor(query, changed, searched) {
    this.#changed = () => {
      for (const aim of this.#exports) aim();
      changed();
    };
    this.#window =
      windows.find(({ name }) => name === query.get("window")) ?? windows.find(({ name }) => name === USUAL);
    this.#values = Object.fromEntries(fields.map((name) => [name, query.get(name) ?? ""]));
    this.#search = el("input", {
      type: "search",
      placeholder: "Search loaded runs",
      "aria-label": "Search the runs that are loaded",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 200,
      oninput: searched,
    });
    this.root = el(
      "div",
      { class: "filters", role: "search", "aria-label": "Runs" },
      this.#segments(),
      el("span", { class: "field search" }, this.#search),
      this.#unfold(),
      el(
        "div",
        { class: "folded", id: "more-filters" },
        this.#status(),
        this.#text("campaignId", "Campaign", 64),
        this.#text("runId", "Run", 64),
        this.#text("phase", "Phase", 16),
      ),
      el(
        "span",
        { class: "end" },
        el("span", { class: "quiet" }, "Export"),
        this.#export("csv", "CSV"),
        this.#export("ndjson", "NDJSON"),
      ),
    );
  }

  // api is what to ask the API for.
  api() {
    const { length, step } = this.#window;
    const since = length
      ? new Date(Math.floor((Date.now() - length) / step) * step).toISOString().replace(".000Z", "Z")
      : "";
    return { ...this.#values, since };
  }

  // stream is the part of it that the stream knows.
  stream() {
    const { campaignId, runId, phase } = this.#values;
    return { campaignId, runId, phase };
  }

  // address is what stands in the page's address.
  address() {
    return { ...this.#values, window: this.#window.name === USUAL ? "" : this.#window.name };
  }

  get words() {
    return this.#window.words;
  }

  // set tells whether anything but the window narrows the list.
  get narrowed() {
    return fields.some((name) => this.#values[name]);
  }
  get bounded() {
    return Boolean(this.#window.length);
  }

  // found tells whether a record has all words of the search.
  found() {
    const words = this.#search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return (record) => {
      const text = `${record.campaignId} ${record.runId} ${record.phase} ${record.status}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
  }

  get searching() {
    return this.#search.value.trim() !== "";
  }

  clearSearch() {
    this.#search.value = "";
  }

  focusSearch() {
    this.#search.focus();
  }

  // widen looks at all time; clear drops what narrows.
  widen() {
    this.root.querySelector("input[value=all]").click();
  }

  clear() {
    for (const name of fields) {
      this.#values[name] = "";
      const input = this.root.querySelector(`[name=${name}]`);
      input.value = "";
      input.closest(".field").classList.remove("set");
    }
    this.#changed();
  }

  #segments() {
    return el(
      "fieldset",
      { class: "segments" },
      el("legend", { class: "unseen" }, "Time window"),
      windows.map((window) =>
        el(
          "label",
          { title: window.words },
          el("input", {
            type: "radio",
            name: "window",
            value: window.name,
            checked: window === this.#window,
            onchange: () => {
              this.#window = window;
              this.#changed();
            },
          }),
          window.label,
        ),
      ),
    );
  }

  // unfold is a button on narrow screens, where the other filters are folded away unless one is set.
  #unfold() {
    const button = el(
      "button",
      {
        class: "button unfold",
        type: "button",
        "aria-expanded": String(this.narrowed),
        "aria-controls": "more-filters",
      },
      "Filters",
    );
    button.addEventListener("click", () =>
      button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true")),
    );
    return button;
  }

  #status() {
    const select = el(
      "select",
      { name: "status", onchange: () => this.#set(select) },
      el("option", { value: "" }, "any"),
      statuses.map((status) => el("option", { value: status, selected: status === this.#values.status }, status)),
    );
    return el("label", { class: `field ${this.#values.status ? "set" : ""}` }, el("span", {}, "Status"), select);
  }

  #text(name, label, most) {
    const input = el("input", {
      name,
      value: this.#values[name],
      placeholder: "any",
      maxlength: most,
      autocomplete: "off",
      spellcheck: "false",
      dir: "auto",
      onchange: () => this.#set(input),
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#set(input);
    });
    return el("label", { class: `field ${name} ${this.#values[name] ? "set" : ""}` }, el("span", {}, label), input);
  }

  #set(input) {
    if (this.#values[input.name] === input.value) return;
    this.#values[input.name] = input.value;
    input.closest(".field").classList.toggle("set", input.value !== "");
    this.#changed();
  }

  #export(format, label) {
    const link = el("a", { href: "", download: "", title: `All runs of these filters as ${label}` }, label);
    const aim = () => {
      link.href = address(CAMPAIGN, { ...this.api(), format });
    };
    this.#exports.push(aim);
    link.addEventListener("click", (event) => {
      aim();
      if (!hasKey()) return; // the browser can load it by itself
      event.preventDefault();
      save(link.href).catch((error) => this.root.dispatchEvent(new CustomEvent("failed", { detail: error })));
    });
    aim();
    return link;
  }
}

// save loads a file that needs a key, and hands it to the browser.
async function save(url) {
  const answer = await request(url);
  const name = /filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "runs";
  const blob = URL.createObjectURL(await answer.blob());
  el("a", { href: blob, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(blob), 60_000);
}
