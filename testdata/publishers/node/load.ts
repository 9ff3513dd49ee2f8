/** Publishes a planned load over NATS with the recipe, and compares what runmetrics shows with what the plan says. */
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { drive } from "../load/drive.js";
import { planOf } from "../load/plan.js";
import { settle } from "../load/settle.js";
import { cutAtHalf } from "../load/cut.js";
import { connectionOptions, encodeToken, eventOf, Publisher, RunHandle } from "./runmetrics.js";

const seed = Number(process.env.SEED ?? 1);
const tag = `nats-${seed}`;
const plan = planOf(seed, tag, 100, 1_000);
console.log(`seed ${seed}`);

const servers = process.env.NATS_URL ?? "nats://127.0.0.1:4222";
const nc = await connect(connectionOptions({ servers, reconnectTimeWait: 50 }));
const publisher = new Publisher(nc);
const cut = cutAtHalf(5);
void (async () => {
  for await (const { type } of nc.status()) if (type === "disconnect") cut.done();
})();
let copies = 0;
await drive(publisher, plan, {
  seed,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  handleOf: (names) => new RunHandle(publisher, names),
  before: cut.before,
  // A producer with message ids of its own: the stream stores the event twice, and runmetrics counts it once.
  async another(names, execution) {
    const subject = `runs.${encodeToken(names.campaignId)}.${encodeToken(names.runId)}`;
    const body = JSON.stringify(eventOf(names, execution, {}));
    await jetstream(nc).publish(subject, body, { msgID: `copy ${copies++}`, retries: 100 });
  },
});
const lost = await publisher.close();
if (lost > 0) throw new Error(`${lost} events were lost`);
console.log(`${copies} events are in the stream twice; ${cut.said()}`);
await settle(plan, tag);
