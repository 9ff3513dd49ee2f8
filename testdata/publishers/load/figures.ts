/**
 * What the record of a planned run must say, computed from the plan alone: whole numbers, money as nano-dollars, and no
 * code shared with runmetrics.
 */
import type { PlannedExecution, PlannedRun, Step } from "./plan.js";

/** The fields of a record that follow from its events. */
export interface Figures {
  status: string;
  source: string;
  agentsTotal: number;
  agentsSuccessful: number;
  agentsFailed: number;
  agentsCancelled: number;
  agentsRunning: number;
  agentsMissing: number;
  agentsExpected: number | null;
  executions: number;
  assetsGenerated: number;
  tokensIn: number;
  tokensOut: number;
  costUSD: string;
  costComplete: boolean;
  latencyAvgMs: number | null;
  latencyP50Ms: number | null;
  latencyP95Ms: number | null;
  latencyP99Ms: number | null;
  latencyMaxMs: number | null;
  successRate: number | null;
  createdAt: string;
  finishedAt: string | null;
}

export function figuresOf({ steps }: PlannedRun): Figures {
  const voided = new Set(of("void", steps).flatMap((step) => step.voids));
  const executions = of("finished", steps).map((step) => step.execution).filter(({ id }) => !voided.has(id));
  const agents = new Map<string, PlannedExecution | undefined>();
  for (const { agentId } of of("agent", steps)) agents.set(agentId, undefined);
  for (const execution of executions) {
    const final = agents.get(execution.agentId);
    if (!final || isLater(execution, final)) agents.set(execution.agentId, execution);
  }
  const finals = [...agents.values()].filter((final) => final !== undefined);
  const ended = (status: string) => finals.filter((final) => final.status === status).length;
  const [successful, failed, cancelled] = [ended("succeeded"), ended("failed"), ended("cancelled")];
  const expected = lastOf(of("start", steps))?.agentsExpected;
  const finish = lastOf(of("finish", steps));
  const done = expected !== undefined && successful + cancelled >= expected;
  const status = finish?.outcome ?? (done ? "completed" : "running");
  const closed = status !== "running";
  const total = closed ? Math.max(agents.size, expected ?? 0) : agents.size;
  const costs = executions.map(({ costUSD }) => costUSD).filter((cost) => cost != null);
  const lastEnd = Math.max(...finals.map((final) => final.occurredAt.getTime()));
  const times = [executions.map((e) => e.occurredAt), steps.flatMap((step) => ("at" in step ? [step.at] : []))].flat();
  return {
    status, source: "events", agentsTotal: total, agentsSuccessful: successful, agentsFailed: failed,
    agentsCancelled: cancelled, agentsRunning: agents.size - finals.length,
    agentsMissing: Math.max(0, (expected ?? 0) - agents.size), agentsExpected: expected ?? null,
    executions: executions.length, assetsGenerated: sum(finals.map((final) => final.assetsGenerated ?? 0)),
    tokensIn: sum(executions.map((e) => e.tokensIn ?? 0)), tokensOut: sum(executions.map((e) => e.tokensOut ?? 0)),
    costUSD: dollars(costs.reduce((total, cost) => total + scaled(String(cost), 9, "even"), 0n)),
    costComplete: costs.length === executions.length,
    ...latencies(finals.filter((final) => final.status !== "cancelled").map((final) => final.latencyMs)),
    successRate: percentage(successful, closed ? total - cancelled : successful + failed),
    createdAt: new Date(Math.min(...times.map((at) => at.getTime()))).toISOString(),
    finishedAt: finish ? finish.at.toISOString() : closed && finals.length > 0 ? new Date(lastEnd).toISOString() : null,
  };
}

function of<K extends Step["kind"]>(kind: K, steps: Step[]): Extract<Step, { kind: K }>[] {
  return steps.filter((step): step is Extract<Step, { kind: K }> => step.kind === kind);
}

/** Whether a is the final one of two executions of an agent. */
function isLater(a: PlannedExecution, b: PlannedExecution): boolean {
  if (a.attempt !== b.attempt) return a.attempt > b.attempt;
  const [at, bt] = [a.occurredAt.getTime(), b.occurredAt.getTime()];
  return at !== bt ? at > bt : Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)) > 0;
}

function lastOf<T extends { id: string; at: Date }>(steps: T[]): T | undefined {
  return [...steps].sort((a, b) => a.at.getTime() - b.at.getTime() || (a.id < b.id ? -1 : 1)).pop();
}

function latencies(values: number[]) {
  const sorted = values.map((value) => Number(scaled(String(value), 0, "up"))).sort((a, b) => a - b);
  const n = sorted.length;
  const rank = (percent: number) => sorted[Math.ceil((percent * n) / 100) - 1] ?? null;
  return {
    latencyAvgMs: n === 0 ? null : Number((2n * BigInt(sum(sorted)) + BigInt(n)) / (2n * BigInt(n))),
    latencyP50Ms: rank(50), latencyP95Ms: rank(95), latencyP99Ms: rank(99), latencyMaxMs: rank(100),
  };
}

function percentage(part: number, whole: number): number | null {
  if (whole === 0) return null;
  return Number((20_000n * BigInt(part) + BigInt(whole)) / (2n * BigInt(whole))) / 100;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Reads a decimal as a whole number of 10^-digits, rounded half up or half to even. */
export function scaled(text: string, digits: number, half: "up" | "even"): bigint {
  const [, whole = "", fraction = "", exponent = "0"] = /^(\d*)\.?(\d*)(?:e([+-]?\d+))?$/.exec(text) ?? [];
  const shift = Number(exponent) - fraction.length + digits;
  const value = BigInt(whole + fraction || "0");
  if (shift >= 0) return value * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  const [floor, rest] = [value / divisor, (value % divisor) * 2n];
  const up = rest > divisor || (rest === divisor && (half === "up" || floor % 2n === 1n));
  return up ? floor + 1n : floor;
}

/** Writes nano-dollars as runmetrics does, without zeros at the end. */
function dollars(nanos: bigint): string {
  const text = nanos.toString().padStart(10, "0");
  const fraction = text.slice(-9).replace(/0+$/, "");
  return text.slice(0, -9) + (fraction && `.${fraction}`);
}
