// What is said where something failed or nothing is there.
import { el } from "./dom.js";
import { icon } from "./icons.js";

// failure tells what went wrong and offers to try again.
export function failure(error, again) {
  const lost = !error.status; // fetch's own errors: no answer at all
  return el(
    "div",
    { class: "notice error", role: "alert" },
    icon(lost ? "broken" : "alert"),
    el(
      "p",
      {},
      lost ? "The server does not answer. The page tries again as soon as it does." : sentence(error.message),
    ),
    again ? el("button", { class: "button", type: "button", onclick: again }, "Try again") : null,
  );
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

// blankRows stand for rows that are being read.
export function blankRows(count, columns) {
  return Array.from({ length: count }, () =>
    el(
      "tr",
      { "aria-hidden": "true" },
      Array.from({ length: columns }, () => el("td", {}, el("div", { class: "blank" }))),
    ),
  );
}
