// The API key: asked for where a request answers 401, kept for the tab, never shown again.
import { el, show } from "./dom.js";

const STORED = "runmetrics.key";
let key = read();
let asking = null; // the question that is open, shared by all requests that wait for its answer

function read() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}

function keep(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
  } catch {
    /* it is kept until the page is left */
  }
  document.dispatchEvent(new CustomEvent("runmetrics:key"));
}

export function hasKey() {
  return key !== "";
}

// forget drops the key.
export function forget() {
  keep("");
}

// credentials are the headers that a request carries.
export function credentials() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// ask asks for a key because the one that a request carried, or none, was not enough. It tells whether one was given.
export function ask(carried, why) {
  if (carried.Authorization !== credentials().Authorization) return Promise.resolve(true); // there is another one by now
  asking ??= open(why).finally(() => {
    asking = null;
  });
  return asking;
}

function open(why) {
  const { promise, resolve } = Promise.withResolvers?.() ?? deferred();
  const input = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const fault = el("p", { class: "bad", id: "key-fault" }, hasKey() ? why : "");
  input.setAttribute("aria-describedby", "key-fault");
  const form = el(
    "form",
    {},
    el("h2", { id: "key-title" }, "This service asks for a key"),
    el("p", {}, "The key needs the scope ", el("code", {}, "read"), ". It stays in this tab until the tab is closed."),
    el("label", { for: "key" }, "API key"),
    input,
    fault,
    el(
      "div",
      { class: "actions" },
      el("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Use key"),
    ),
  );
  const dialog = el("dialog", { class: "key-dialog", "aria-labelledby": "key-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = input.value.trim();
    // A header holds printable ASCII only; anything else cannot be a key.
    if (!/^[\x21-\x7e]+$/.test(given)) return void show(fault, "A key is one word: <id>.<secret>");
    keep(given);
    resolve(true);
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(false);
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

function deferred() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
