/**
 * What the tests of the recipes publish: runs as agents make them, odd in all that the contract allows. The same seed
 * makes the same plan.
 */
import type { Execution, Outcome, RunNames } from "../node/runmetrics.js";

/** One thing that a runtime says of a run. */
export type Step =
  | { kind: "start"; id: string; at: Date; agentsExpected: number | undefined }
  | { kind: "agent"; agentId: string; attempt: number; at: Date }
  | { kind: "finished"; execution: PlannedExecution; ownId: boolean; again: Again }
  | { kind: "finish"; id: string; at: Date; outcome: Outcome }
  | { kind: "void"; id: string; at: Date; voids: string[] };

/** An execution with everything that its figures depend on. The recipe makes its id, unless ownId says otherwise. */
export type PlannedExecution = Execution & { id: string; attempt: number; latencyMs: number; occurredAt: Date };

/** Whether an execution is published a second time, under the same message id or under another one. */
export type Again = "" | "same" | "another";

/** A run, and what is said of it in the order of saying. */
export interface PlannedRun {
  names: RunNames;
  steps: Step[];
}

/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
export function randomBy(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const campaigns = [
  "spring/2026", "q3.launch 🚀", "a%2Fb", "*>", "漢字 é", "plain", "quote\"\\", "~!'()",
  " lead", "👩‍👩‍👧‍👦",
];
/** The id of an attempt of the long one would be over 128 characters. */
const long = "🦉".repeat(64);
const agents = ["writer", "art director", "qa.v2", "seo/meta", "🦊", "a+b=c&d", "é", "-_-", long];
const models = ["gpt-x", "claude.y", undefined];

/** Plans runs with so many executions altogether. tag becomes part of the campaigns' names. */
export function planOf(seed: number, tag: string, runs: number, executions: number): PlannedRun[] {
  const random = randomBy(seed);
  const below = (n: number) => Math.floor(random() * n);
  const begin = Date.UTC(2026, 2, 1, 8);
  return Array.from({ length: runs }, (_, i) => {
    const count = Math.floor(((i + 1) * executions) / runs) - Math.floor((i * executions) / runs);
    const name = campaigns[i % campaigns.length]!;
    const names = { campaignId: `${name}.${tag}`, runId: `run ${i >> 1}/🚀.`, phase: `phase.${i % 2} ` };
    return { names, steps: stepsOf(count, begin + i * 60_000, below) };
  });
}

function stepsOf(executions: number, begin: number, below: (n: number) => number): Step[] {
  const at = () => new Date(begin + below(3_600_000));
  const id = () => Array.from({ length: 16 }, () => below(16).toString(16)).join("");
  const told = new Set<string>();
  const finished: Finished[] = [];
  const attempts = new Map<string, number>();
  while (finished.length < executions) {
    const agentId = agents[below(agents.length)]!;
    const attempt = (attempts.get(agentId) ?? 0) + 1;
    attempts.set(agentId, attempt);
    const step = finishedStep(agentId, attempt, at(), below);
    if (attempt > 1 && agentId !== long && below(8) === 0) {
      // Two executions of one attempt, told apart by ids of their own: the later one is final, or the greater id.
      step.execution.attempt = attempt - 1;
      step.execution.id = id();
      step.ownId = true;
      const other = [...finished].reverse().find(({ execution }) => execution.agentId === agentId);
      if (other && below(3) > 0) step.execution.occurredAt = other.execution.occurredAt;
    }
    told.add(agentId);
    finished.push(step);
  }
  const steps: Step[] = [];
  for (const step of finished) {
    const { agentId, attempt } = step.execution;
    if (below(3) > 0) steps.push({ kind: "agent", agentId, attempt, at: at() });
    steps.push(step);
  }
  if (below(3) === 0) steps.push({ kind: "agent", agentId: "never back", attempt: 1, at: at() });
  if (below(5) > 0) {
    const expected = () => (below(6) === 0 ? undefined : Math.max(1, told.size + below(4) - 1));
    steps.unshift({ kind: "start", id: id(), at: at(), agentsExpected: expected() });
    // Started anew: the later one says how many agents are expected.
    if (below(4) === 0) steps.push({ kind: "start", id: id(), at: at(), agentsExpected: expected() });
  }
  const some = finished[below(finished.length)]!.execution;
  if (some.agentId !== long && below(6) === 0) steps.push({ kind: "void", id: id(), at: at(), voids: [some.id] });
  for (let left = [2, 1, 1, 0][below(4)]!; left > 0; left--) {
    const outcome = (["completed", "completed", "failed", "cancelled"] as const)[below(4)]!;
    steps.push({ kind: "finish", id: id(), at: at(), outcome });
  }
  return steps;
}

type Finished = Extract<Step, { kind: "finished" }>;

function finishedStep(agentId: string, attempt: number, occurredAt: Date, below: (n: number) => number): Finished {
  const costs: (() => number | string | undefined)[] = [
    () => (below(1_000) + 1) * 0.1 + 0.2, // binary dust
    () => below(1_000_000) * 1e-7,
    () => `0.${String(below(1e9)).padStart(9, "0")}5`, // half a nano-dollar more
    () => `${below(40)}.${String(below(1e6)).padStart(6, "0")}`,
    () => (below(3) === 0 ? undefined : 0),
  ];
  const status = (["succeeded", "succeeded", "succeeded", "failed", "cancelled"] as const)[below(5)]!;
  return {
    kind: "finished", ownId: false,
    again: agentId === long ? "" : (["", "", "", "", "same", "another"] as const)[below(6)]!,
    execution: {
      id: `${agentId}/${attempt}`, agentId, attempt, status, occurredAt,
      latencyMs: below(10) === 0 ? 0.5 + below(5) : below(90_000_000) / 1_000,
      tokensIn: below(50_000), tokensOut: below(20_000), assetsGenerated: below(4),
      costUSD: costs[below(costs.length)]!(), model: models[below(models.length)],
      agentName: below(2) === 0 ? `Agent "${agentId}"\n` : undefined,
      error: status === "failed" ? "x🚀".repeat(below(2_000)) : undefined,
    },
  };
}
