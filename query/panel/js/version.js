// Says below every view which version of the program the page came from. The API's own description carries it.
import { show } from "./dom.js";
import { untrusted } from "./text.js";

export async function showVersion(foot) {
  try {
    const answer = await fetch("openapi.json");
    const { info } = await answer.json();
    show(foot, "runmetrics ", untrusted(info.version));
  } catch {
    /* the server went away again; what the page is for says so */
  }
}
