/** Has a recipe say what is planned, of all runs at the same time. */
import type { Attempt, Circumstances, Execution, Outcome, RunEvent, RunNames } from "../node/runmetrics.js";
import { randomBy, type PlannedRun, type Step } from "./plan.js";

/** What both recipes have. */
export interface Recipe {
  publish(event: RunEvent): Promise<void>;
  startRun(run: RunNames & { agentsExpected?: number | undefined }, more?: Circumstances): Promise<Handle>;
}

export interface Handle {
  agentStarted(agentId: string, more?: Attempt): Promise<void>;
  agentFinished(execution: Execution): Promise<void>;
  finishRun(outcome?: Outcome, more?: Circumstances): Promise<void>;
}

export interface Driving {
  seed: number;
  /** Makes the handle of a run of which nobody said that it begins. */
  handleOf(names: RunNames): Handle;
  /** The trace that executions belong to. */
  traceparent?: string;
  /** Publishes an execution again in a way of its own. */
  another?(names: RunNames, execution: Execution): Promise<void>;
  /** Called before each step, with how many of how many there were. */
  before?(done: number, all: number): Promise<unknown>;
}

/** Steps of a run stay in their order, those of different runs mingle. */
export async function drive(recipe: Recipe, plan: PlannedRun[], driving: Driving): Promise<void> {
  const random = randomBy(driving.seed);
  const all = plan.reduce((n, run) => n + run.steps.length, 0);
  const left = plan.map((run) => ({ run, steps: [...run.steps], handle: driving.handleOf(run.names) }));
  for (let done = 0; left.length > 0; done++) {
    await driving.before?.(done, all);
    const i = Math.floor(random() * left.length);
    const { run, steps, handle } = left[i]!;
    await say(recipe, handle, run.names, steps.shift()!, driving);
    if (steps.length === 0) left.splice(i, 1);
  }
}

async function say(recipe: Recipe, handle: Handle, names: RunNames, step: Step, driving: Driving): Promise<void> {
  switch (step.kind) {
    case "start": {
      const { id, at: occurredAt, agentsExpected } = step;
      await recipe.startRun({ ...names, agentsExpected }, { id, occurredAt });
      return;
    }
    case "agent":
      return handle.agentStarted(step.agentId, { attempt: step.attempt, occurredAt: step.at });
    case "finish":
      return handle.finishRun(step.outcome, { id: step.id, occurredAt: step.at });
    case "void": {
      const { id, at: occurredAt, voids } = step;
      return recipe.publish({ ...names, id, type: "executions.voided", occurredAt, voids });
    }
    case "finished": {
      const id = step.ownId ? step.execution.id : undefined;
      const execution = { ...step.execution, id, traceparent: driving.traceparent };
      await handle.agentFinished(execution);
      if (step.again === "another" && driving.another) return driving.another(names, step.execution);
      if (step.again !== "") await handle.agentFinished(execution);
    }
  }
}
