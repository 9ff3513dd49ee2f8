"use client";

import { useState } from "react";
import { writeCampaignMetrics } from "@/lib/runmetrics";

export function WriteSample() {
  const [outcome, setOutcome] = useState("");

  async function write() {
    const result = await writeCampaignMetrics({
      campaignId: "example", runId: `page-${Date.now()}`, phase: "2-3", agentsTotal: 3, agentsSuccessful: 3,
      assetsGenerated: 8, tokensIn: 1000, tokensOut: 2000, costUSD: 0.002, latencyP95Ms: 45000, latencyAvgMs: 38000,
    });
    setOutcome(result.ok ? `The run is ${result.status}.` : result.problem.detail);
  }

  return (
    <p>
      <button type="button" onClick={() => void write()}>Write a sample run</button> <output>{outcome}</output>
    </p>
  );
}
