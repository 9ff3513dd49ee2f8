import { queryRecentMetrics } from "@/lib/runmetrics";

export const dynamic = "force-dynamic"; // asked anew for each visitor

export default async function Recent() {
  const { metrics, problem } = await queryRecentMetrics(10, { status: "completed" });
  if (problem) return <p>{problem.detail}</p>;
  return (
    <ul>
      {metrics.map((run) => (
        <li key={run.runKey}>{`${run.runId}: $${run.costUSD}, ${run.successRate} % of ${run.agentsTotal} agents`}</li>
      ))}
    </ul>
  );
}
