// Light or dark as chosen here before, else as the system says. It runs before the first paint.
"use strict";
try {
  const chosen = localStorage.getItem("runmetrics.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  /* storage is closed to us: the system decides */
}
