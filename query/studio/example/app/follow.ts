import { subscribeMetrics } from "@/lib/runmetrics";

/** Writes to the console what becomes of a campaign, until the function that it returns is called. */
export function follow(): () => void {
  const controller = new AbortController();
  void subscribeMetrics({ campaignId: "summer-sale" }, {
    onMetrics: (record) => console.log(record.runId, record.status, record.costUSD),
    onConnection: ({ state, problem }) => console.log(state, problem?.detail),
  }, controller.signal);
  return () => controller.abort();
}
