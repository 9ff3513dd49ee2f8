/** Compares what runmetrics shows with what must be. */
import { setTimeout as sleep } from "node:timers/promises";
import { runKey } from "../node/runmetrics.js";
import { figuresOf, type Figures } from "./figures.js";
import type { PlannedRun } from "./plan.js";

type Shown = Record<string, unknown>;

/** Where runmetrics is. The tests give both in the environment. */
export const api = process.env.RUNMETRICS_URL ?? "http://127.0.0.1:8080";
export const key = process.env.RUNMETRICS_KEY;

/** Waits until the API shows exactly the planned runs, and fails with the first differences if it does not in time. */
export async function settle(plan: PlannedRun[], tag: string, limitMs = 30_000): Promise<void> {
  const wanted = new Map(plan.map((run) => [runKey(run.names), { ...run.names, ...figuresOf(run) }]));
  const until = Date.now() + limitMs;
  for (;;) {
    const shown = await records(tag);
    const found = differences(wanted, shown);
    if (found.length === 0) {
      await noDeadLetters(plan);
      blindSpots(wanted, shown);
      return console.log(`${wanted.size} runs are as computed`);
    }
    if (Date.now() > until) throw new Error(`${found.length} differences\n${found.slice(0, 10).join("\n")}`);
    await sleep(100);
  }
}

/** Reads all records of the campaigns with the tag, by run key. Money stays text: a number would round it. */
async function records(tag: string): Promise<Map<string, Shown>> {
  const all = new Map<string, Shown>();
  for (let cursor = ""; ; ) {
    const text = await get(`/api/metrics/campaign?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    const exact = text.replace(/"costUSD":([\d.e+-]+)/g, '"costUSD":"$1"');
    const page = JSON.parse(exact) as { metrics: Shown[]; nextCursor: string };
    for (const record of page.metrics) {
      if (String(record.campaignId).endsWith(`.${tag}`)) all.set(String(record.runKey), record);
    }
    cursor = page.nextCursor;
    if (!cursor) return all;
  }
}

/** Asks the API as often as it allows, with the key. */
export async function ask(path: string, init: RequestInit = {}, given: object = {}): Promise<Response> {
  const headers = { ...given, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(api + path, { ...init, headers });
  if (response.status !== 429) return response;
  await sleep(Number(response.headers.get("Retry-After")) * 1_000);
  return ask(path, init, given);
}

async function get(path: string): Promise<string> {
  const response = await ask(path);
  const text = await response.text();
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${text}`);
  return text;
}

function differences(wanted: Map<string, Figures>, shown: Map<string, Shown>): string[] {
  const found: string[] = [];
  for (const [runKey, figures] of wanted) {
    const record = shown.get(runKey);
    if (!record) {
      found.push(`${runKey} is missing`);
      continue;
    }
    for (const [field, value] of Object.entries(figures)) {
      const got = record[field];
      const time = field.endsWith("At") && typeof got === "string";
      if ((time ? new Date(got).toISOString() : got) === value) continue;
      found.push(`${runKey} ${field}: ${JSON.stringify(got)}, want ${JSON.stringify(value)}`);
    }
    if (!(Number(record.version) >= 1)) found.push(`${runKey} version: ${record.version}`);
  }
  for (const runKey of shown.keys()) if (!wanted.has(runKey)) found.push(`${runKey} is not planned`);
  return found;
}

async function noDeadLetters(plan: PlannedRun[]): Promise<void> {
  for (const campaignId of new Set(plan.map((run) => run.names.campaignId))) {
    const text = await get(`/api/deadletters?campaignId=${encodeURIComponent(campaignId)}`);
    const { deadLetters } = JSON.parse(text) as { deadLetters: unknown[] };
    if (deadLetters.length > 0) throw new Error(`dead letters: ${text}`);
  }
}

/** A comparison that overlooks a field would prove nothing: each, changed by the least, must be one difference. */
function blindSpots(wanted: Map<string, Figures>, shown: Map<string, Shown>): void {
  const [runKey, figures] = [...wanted][0]!;
  for (const [field, value] of Object.entries(figures)) {
    const wrong = { ...figures, [field]: nearly(value) };
    const found = differences(new Map(wanted).set(runKey, wrong), shown);
    if (found.length !== 1 || !found[0]!.includes(` ${field}: `)) throw new Error(`a wrong ${field} is not seen`);
  }
}

function nearly(value: unknown): unknown {
  if (typeof value === "number") return value + 1;
  if (typeof value === "boolean") return !value;
  return value === null ? 0 : `${value}0`.replace(/Z0$/, "1Z");
}
