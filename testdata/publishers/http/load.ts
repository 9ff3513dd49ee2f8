/** Publishes a planned load over HTTP with the recipe, and compares what runmetrics shows with what the plan says. */
import { cutAtHalf } from "../load/cut.js";
import { drive } from "../load/drive.js";
import { planOf } from "../load/plan.js";
import { api, key, settle } from "../load/settle.js";
import { Publisher, RunHandle } from "./runmetrics.js";

const seed = Number(process.env.SEED ?? 1);
const tag = `http-${seed}`;
const plan = planOf(seed, tag, 100, 1_000);
console.log(`seed ${seed}`);

const cut = cutAtHalf(50);
let requests = 0;
let answersLost = 0;
const send = globalThis.fetch;
globalThis.fetch = async (...request) => {
  let response: Response;
  try {
    response = await send(...request);
  } catch (error) {
    cut.done();
    throw error;
  }
  // The events are stored, and the answer does not arrive: the recipe must send them again.
  if (String(request[0]).endsWith("/api/events") && ++requests % 5 === 2) {
    await response.arrayBuffer();
    answersLost++;
    throw new TypeError("the answer is lost");
  }
  return response;
};

const publisher = new Publisher({ url: api, key });
await drive(publisher, plan, {
  seed,
  handleOf: (names) => new RunHandle(publisher, names),
  async before(done, all) {
    const awaited = await cut.before(done, all);
    if (awaited || done % 100 === 0) await publisher.flush();
  },
});
const lost = await publisher.flush();
if (lost > 0) throw new Error(`${lost} events were lost`);
globalThis.fetch = send;
console.log(`${requests} requests, ${answersLost} answers lost; ${cut.said()}`);
await settle(plan, tag);
