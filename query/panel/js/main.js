// Starts the panel: one live connection, one bar, and the view that the address names.
import { announce } from "./announce.js";
import { CampaignView } from "./campaignview.js";
import { el, show } from "./dom.js";
import { clock } from "./format.js";
import { Header } from "./header.js";
import { LettersView } from "./lettersview.js";
import { Live } from "./live.js";
import { listLink, parse } from "./route.js";
import { RunsView } from "./runsview.js";
import { RunView } from "./runview.js";
import { StateView } from "./stateview.js";
import { showVersion } from "./version.js";

// A view is made with the context and has: title, root, close(), and what it wants to hear of metrics(records),
// ready(answer), state(body), tick(now).
const views = {
  "": { parts: 1, make: (context, _, query) => new RunsView(context, query) },
  campaign: { parts: 2, make: (context, [, campaign]) => new CampaignView(context, campaign) },
  run: { parts: 3, make: (context, [, campaign, run]) => new RunView(context, campaign, run) },
  deadletters: { parts: 1, make: (context, _, query) => new LettersView(context, query) },
  state: { parts: 1, make: (context) => new StateView(context) },
};

const main = document.getElementById("view");
let view = null;
let state = null; // the newest of the pipeline
let kind = ""; // of the connection

const live = new Live({
  metrics: (records) => view?.metrics?.(records),
  ready: (answer) => view?.ready?.(answer),
  state: (body) => {
    state = body;
    header.pipeline(body);
    view?.state?.(body);
  },
  status: (status) => {
    header?.connection(status);
    document.documentElement.dataset.connection = status.kind;
    if (status.kind === kind) return;
    if (status.kind === "reconnecting" && status.since)
      announce("connection", () => `Connection lost. The numbers are as of ${clock(status.since)}.`);
    if (status.kind === "live" && kind === "reconnecting") announce("connection", () => "Connected again.");
    if (status.kind === "live" && kind === "connecting") showVersion(document.getElementById("version"));
    kind = status.kind;
  },
});
const header = new Header(document.getElementById("bar"), live);
const context = { live, state: () => state };

function open(first) {
  view?.close();
  const { parts, query } = parse(location.hash);
  const found = views[parts[0]];
  view = found?.parts === parts.length && !parts.slice(1).includes("") ? found.make(context, parts, query) : unknown();
  header.at(parts[0] === "campaign" || parts[0] === "run" ? "" : parts[0]);
  document.title = view.title ? `${view.title} · runmetrics` : "runmetrics";
  show(main, view.root);
  if (first) return;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function unknown() {
  live.follow({});
  return {
    title: "Not found",
    close() {},
    root: el(
      "div",
      { class: "waiting" },
      el("strong", {}, "There is nothing at this address"),
      el("a", { href: listLink() }, "All runs"),
    ),
  };
}

// A link to the view that is open does nothing; the skip link is not an address of a view.
addEventListener("hashchange", () => {
  if (location.hash === "#view") return main.focus();
  open(false);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => {
  if (!document.hidden && !live.paused) view?.tick?.(Date.now());
}, 1000);
open(true);
