// Compiled, never run: the types written by hand are those of the API.

import type { components } from "../api";
import type { CampaignMetrics, CampaignReport, FieldProblem, PipelineState } from "../runmetrics";

type Schemas = components["schemas"];

/** true where A and B are the same type, optional and nullable properties included. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** The properties of an intersection or interface, one by one. */
type Plain<T> = { [name in keyof T]: T[name] };

export const record: Same<Plain<CampaignMetrics>, Plain<Schemas["Metrics"]>> = true;

// A Date is written as the string that the API wants.
type Written = Exclude<CampaignReport["createdAt"], Date | undefined>;
type SentReport = Omit<CampaignReport, "createdAt"> & { createdAt?: Written };
export const report: Same<Plain<SentReport>, Plain<Schemas["ReportBody"]>> = true;

export const states: Same<PipelineState["state"], Schemas["State"]["state"]> = true;

type Named = Required<Pick<Schemas["ErrorDetail"], "location" | "message">>;
export const named: Named extends FieldProblem ? true : false = true;
