// Views have addresses behind the #, so that they can be linked to and the browser's own buttons work.

// parse takes an address apart: {parts, query}. What is not well encoded is no view.
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  try {
    return { parts: path.split("/").map(decodeURIComponent), query: new URLSearchParams(query) };
  } catch {
    return { parts: ["unknown"], query: new URLSearchParams() };
  }
}

const join = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");

export const runLink = (record) => join("run", record.campaignId, record.runId);
export const campaignLink = (campaign) => join("campaign", campaign);
export const stateLink = "#/state";

// listLink is the list of runs with these filters.
export function listLink(filters = {}) {
  return withQuery("#/", filters);
}

// lettersLink is the list of dead letters of a run, or of all.
export function lettersLink(filters = {}) {
  return withQuery("#/deadletters", filters);
}

function withQuery(path, filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  return query.size ? `${path}?${query}` : path;
}
