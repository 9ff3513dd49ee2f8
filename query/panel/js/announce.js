// Speaks to screen readers through one live region, at most every ten seconds.

const PAUSE = 10_000;
let waiting = new Map(); // what to say, by subject: the newest word on each counts
let timer = 0;
let last = -PAUSE;

// announce says a sentence soon; a newer one about the same subject takes its place. It is made when it is spoken.
export function announce(subject, sentence) {
  waiting.set(subject, sentence);
  timer ||= setTimeout(speak, Math.max(0, last + PAUSE - performance.now()));
}

function speak() {
  timer = 0;
  last = performance.now();
  document.getElementById("announcements").textContent = [...waiting.values()].map((sentence) => sentence()).join(" ");
  waiting = new Map();
}
