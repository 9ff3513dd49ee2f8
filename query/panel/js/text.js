// Names and errors come from agents: untrusted text. It is shown in its own direction, with what it hides made visible.
import { el } from "./dom.js";

// What has no shape of its own or changes the direction of what stands around it. Joiners are let through where they
// do what they are for: between letters of scripts that join, and in emoji.
const hidden =
  /[\p{Cc}\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]|(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f\p{sc=Arab}\p{sc=Deva}\p{sc=Beng}\p{sc=Mlym}\p{sc=Sinh}\p{sc=Knda}\p{sc=Telu}\p{sc=Taml}\u094d])[\u200c\u200d]/gu;

function nameOf(character) {
  return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

// plain is the text for places that hold characters only: titles, labels.
export function plain(text) {
  return String(text).replace(hidden, (character) => `⟨${nameOf(character)}⟩`);
}

// isolated is plain text that is put into a sentence: what follows keeps its direction.
export function isolated(text) {
  return `\u2068${plain(text)}\u2069`;
}

// untrusted shows a text of others.
export function untrusted(text, properties) {
  const node = el("bdi", properties);
  let from = 0;
  for (const match of String(text).matchAll(hidden)) {
    node.append(text.slice(from, match.index));
    node.append(
      el("span", { class: "hidden-character", title: "A character that is not visible by itself" }, nameOf(match[0])),
    );
    from = match.index + match[0].length;
  }
  node.append(String(text).slice(from));
  return node;
}
