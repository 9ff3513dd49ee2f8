"use client";

/**
 * Live metrics for React: useCampaignMetrics keeps the newest records up to date, LiveMetrics shows them. Copy it beside
 * runmetrics.ts. The stylesheet is the application's: the component brings names of classes only.
 */

import { useEffect, useState } from "react";
import { subscribeMetrics, type CampaignMetrics, type Connection, type StreamFilter } from "./runmetrics";

/** What is known now. */
export interface LiveCampaignMetrics {
  /** The newest records that fit the filter, newest first. */
  metrics: CampaignMetrics[];
  /** While it is not live, metrics may lag behind. */
  connection: Connection;
}

const nothing: LiveCampaignMetrics = { metrics: [], connection: { state: "connecting" } };

/** The newest records of a filter, filter.limit of them (1 to 500; 50), and every change as it is committed. */
export function useCampaignMetrics(filter: StreamFilter = {}): LiveCampaignMetrics {
  const [live, setLive] = useState(nothing);
  const { campaignId, runId, phase, limit = 50 } = filter; // an object written in a component is a new one each time

  useEffect(() => {
    const controller = new AbortController();
    setLive(nothing);
    const update = (change: (before: LiveCampaignMetrics) => LiveCampaignMetrics) => {
      if (!controller.signal.aborted) setLive(change); // what is left of a filter before must not show
    };
    void subscribeMetrics({ campaignId, runId, phase, limit }, {
      onMetrics: (record) => update((before) => ({ ...before, metrics: merge(before.metrics, record, limit) })),
      onConnection: (connection) => update((before) => ({ ...before, connection })),
    }, controller.signal);
    return () => controller.abort();
  }, [campaignId, runId, phase, limit]);

  return live;
}

/** Puts a record in its place, newest first as the API has it, and keeps limit of them. */
function merge(metrics: CampaignMetrics[], record: CampaignMetrics, limit: number): CampaignMetrics[] {
  const others = metrics.filter((other) => other.runKey !== record.runKey);
  const place = others.findIndex((other) => isNewer(record, other));
  others.splice(place < 0 ? others.length : place, 0, record);
  return others.slice(0, limit);
}

function isNewer(a: CampaignMetrics, b: CampaignMetrics): boolean {
  const between = Date.parse(a.createdAt) - Date.parse(b.createdAt);
  return between > 0 || (between === 0 && a.runKey > b.runKey);
}

const connections: Record<Connection["state"], string> = {
  connecting: "Connecting…", live: "Live", waiting: "Connection lost, trying again…", ended: "Not connected",
};

const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 4 });
const counts = new Intl.NumberFormat("en-US");

/** A table of the newest runs that follows them. */
export function LiveMetrics(filter: StreamFilter) {
  const { metrics, connection } = useCampaignMetrics(filter);
  return (
    <section className="live-metrics" aria-label="Agent runs">
      <p role="status" className={`live-metrics-${connection.state}`}>
        {connections[connection.state]}
        {connection.problem && `: ${connection.problem.detail}`}
      </p>
      <table>
        <caption>Newest runs</caption>
        <thead>
          <tr>
            <th scope="col">Campaign</th>
            <th scope="col">Run</th>
            <th scope="col">Phase</th>
            <th scope="col">Status</th>
            <th scope="col">Agents</th>
            <th scope="col">Success</th>
            <th scope="col">Tokens</th>
            <th scope="col">Latency, p95</th>
            <th scope="col">Cost</th>
          </tr>
        </thead>
        <tbody>{metrics.map((record) => <Row key={record.runKey} record={record} />)}</tbody>
      </table>
      {metrics.length === 0 && connection.state === "live" && <p>No runs yet.</p>}
    </section>
  );
}

function Row({ record }: { record: CampaignMetrics }) {
  const { successRate, latencyP95Ms } = record;
  return (
    <tr>
      <td>{record.campaignId}</td>
      <th scope="row">{record.runId}</th>
      <td>{record.phase}</td>
      <td>{record.status}</td>
      <td>{`${record.agentsSuccessful} of ${record.agentsTotal}`}</td>
      <td>{successRate === null ? "–" : `${successRate} %`}</td>
      <td>{counts.format(record.tokensIn + record.tokensOut)}</td>
      <td>{latencyP95Ms === null ? "–" : `${counts.format(latencyP95Ms)} ms`}</td>
      <td title={`${record.costUSD} US dollars`}>{dollars.format(record.costUSD)}{!record.costComplete && " or more"}</td>
    </tr>
  );
}
