// Dead letters: messages that could not be applied, and why.
import { address, parse, request } from "./api.js";
import { el, show } from "./dom.js";
import { ago, exact, moment } from "./format.js";
import { blankRows, failure } from "./notice.js";
import { Refresher } from "./refresher.js";
import { lettersLink, runLink } from "./route.js";
import { message, walk } from "./table.js";
import { untrusted } from "./text.js";

const PAGE = 50;
const head = ["Reason", "Field", "Detail", "Campaign", "Run", "Time", "Position"];

export class LettersView {
  title = "Dead letters";
  root;
  #filter;
  #letters = [];
  #cursor = null;
  #known = -1; // how many there are, as the state says
  #body = el("tbody");
  #fault = el("div");
  #foot = el("div", { class: "table-foot" });
  #refresher = new Refresher(
    (signal) => this.#read(signal),
    (error) => this.#failed(error),
  );
  #endWalk = walk(this.#body);

  constructor(context, query) {
    this.#filter = { campaignId: query.get("campaignId") ?? "", runId: query.get("runId") ?? "" };
    const field = (name, label) => {
      const input = el("input", {
        name,
        value: this.#filter[name],
        placeholder: "any",
        maxlength: 64,
        autocomplete: "off",
        spellcheck: "false",
        dir: "auto",
        onchange: () => this.#set(name, input),
      });
      return el("label", { class: `field ${this.#filter[name] ? "set" : ""}` }, el("span", {}, label), input);
    };
    this.root = el(
      "div",
      {},
      el(
        "div",
        { class: "title" },
        el("h1", {}, "Dead letters"),
        el(
          "span",
          { class: "quiet" },
          "Messages that could not be applied. They are kept; nothing else waits for them.",
        ),
      ),
      this.#fault,
      el(
        "div",
        { class: "filters few", role: "search", "aria-label": "Dead letters" },
        field("campaignId", "Campaign"),
        field("runId", "Run"),
      ),
      el(
        "div",
        { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Dead letters" },
        el(
          "table",
          { class: "letters" },
          el("caption", { class: "unseen" }, "Dead letters, newest first"),
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              head.map((label, index) => el("th", { scope: "col", class: index > 4 ? "number" : null }, label)),
            ),
          ),
          this.#body,
        ),
      ),
      this.#foot,
    );
    show(this.#body, blankRows(6, head.length));
    context.live.follow({});
    if (context.state()) this.state(context.state());
    this.#refresher.now();
  }

  close() {
    this.#refresher.close();
    this.#endWalk();
  }

  ready() {
    this.#refresher.wish();
  }

  // state reads again when there are others than before.
  state(state) {
    const count = (state.streams ?? []).reduce((sum, stream) => sum + (stream.deadLetters ?? 0), 0);
    if (this.#known >= 0 && count !== this.#known) this.#refresher.wish();
    this.#known = count;
  }

  #set(name, input) {
    this.#filter[name] = input.value;
    input.closest(".field").classList.toggle("set", input.value !== "");
    history.replaceState(null, "", lettersLink(this.#filter));
    this.#refresher.now();
  }

  async #read(signal) {
    const page = await this.#page(null, signal);
    if (signal.aborted) return;
    this.#letters = page.deadLetters;
    this.#cursor = page.nextCursor;
    show(this.#fault);
    this.#draw();
  }

  async #page(cursor, signal) {
    const answer = await request(address("api/deadletters", { ...this.#filter, limit: PAGE, cursor }), { signal });
    return parse(await answer.text());
  }

  async #more(button) {
    button.disabled = true;
    try {
      const page = await this.#page(this.#cursor);
      this.#letters = [...this.#letters, ...page.deadLetters];
      this.#cursor = page.nextCursor;
      this.#draw();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    show(
      this.#fault,
      failure(error, () => this.#refresher.now()),
    );
    if (this.#letters.length === 0) show(this.#body, waiting("The dead letters could not be read"));
  }

  #draw() {
    const narrowed = this.#filter.campaignId || this.#filter.runId;
    show(
      this.#body,
      this.#letters.length
        ? this.#letters.map(row)
        : waiting(
            narrowed ? "No dead letter names this" : "There are no dead letters",
            narrowed ? "" : "Every message that came could be applied.",
          ),
    );
    const more = el("button", { class: "button", type: "button", onclick: () => this.#more(more) }, "Load more");
    show(
      this.#foot,
      this.#cursor ? more : null,
      this.#letters.length
        ? el(
            "span",
            {},
            `${exact(this.#letters.length)} shown${this.#cursor ? ", there are more" : ""}. `,
            el("code", {}, "runmetrics deadletters"),
            " shows, exports and requeues them.",
          )
        : null,
    );
  }
}

function waiting(title, text = "") {
  return el("tr", {}, el("td", { class: "waiting", colspan: head.length }, el("strong", {}, title), text));
}

function row(letter) {
  const run =
    letter.campaignId && letter.runId
      ? el("a", { href: runLink(letter) }, untrusted(letter.runId))
      : letter.runId
        ? untrusted(letter.runId)
        : "";
  return el(
    "tr",
    {},
    el("td", { class: "lead" }, untrusted(letter.reason)),
    el("td", {}, letter.field ? untrusted(letter.field, { class: "mono" }) : ""),
    el("td", { class: "message" }, letter.detail ? message(letter.detail) : ""),
    el("td", { class: "name" }, letter.campaignId ? untrusted(letter.campaignId) : ""),
    el("td", { class: "name" }, run),
    el(
      "td",
      { class: "number quiet" },
      el("time", { datetime: letter.time, title: moment(letter.time) }, ago(letter.time, Date.now())),
    ),
    el(
      "td",
      { class: "number" },
      el(
        "span",
        { title: `stream ${letter.stream}, epoch ${letter.epoch}` },
        `${letter.stream} ${exact(letter.sequence)}`,
      ),
    ),
  );
}
