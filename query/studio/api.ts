// Made from openapi.json by generate.mjs: do not edit.

export interface paths {
    "/api/backlog": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What waits to be copied to Microsoft Dataverse
         * @description Counted by the store, at most every five seconds. What waits to be committed stands on /readyz.
         */
        get: operations["get-backlog"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/deadletters": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List messages that no run could take, newest first
         * @description Where they stand in their stream and why; the payload is shown by `runmetrics deadletters show`.
         */
        get: operations["list-dead-letters"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Publish events, where the runtime has no NATS client
         * @description One event, an array, or one a line; up to 1000 events and 5000000 bytes. CloudEvents 1.0 may come in binary or structured mode or as a batch; their id and time are the event's where it has none itself. Each event has a verdict of its own. 202 once the stream has stored those that are not refused; 400 where all are refused; 503 where the stream did not confirm all, with what it did. Events carry their ids, so repeating a whole request is safe: each is counted once.
         */
        post: operations["post-events"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics/campaign": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List records, newest first
         * @description As csv and ndjson every record that matches is sent, read page by page; a limit may be any positive number. Whoever gets less than all finds the connection cut. A run whose createdAt changes meanwhile may come twice. csv is RFC 4180: a line of the field names, empty where JSON has null, numbers and times as in JSON. A text that a spreadsheet would take for a formula, because it begins with = + - @ or a tab, begins with ' there.
         */
        get: operations["list-metrics"];
        put?: never;
        /**
         * Report the record of a run that its runtime aggregated by itself
         * @description 201 with the stored record once it is committed; 202 where that takes longer than five seconds. The stored record shows other numbers than the report where executions of the run are known or a later report is.
         */
        post: operations["report-metrics"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics/campaign/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Records as they change, as server-sent events
         * @description First the newest records of the filter, oldest first, each as an event `metrics` with the record as its data; then an event `ready`; then the newest record of each run whenever it changed, at most four times a second. Of records with the same runKey keep the one with the higher version. A run that is committed no more is sent no more: that it is stalled is for the reader of updatedAt to see.
         *
         *     `id` is the greatest updatedAt sent so far. With it in Last-Event-ID a client that comes back gets what changed since, and for 60 seconds before, in place of the newest records.
         *
         *     The data of `ready` is {"records", "complete", "resumed"}: how many records came before it, whether the client has every change since its place now, and whether that place was known. It comes again with complete false when more changed than the client could take, or the server could learn of: read the listing then.
         *
         *     An event `state` with what /readyz says comes at the start and when that has changed, at most every second, a comment after 15 s of silence. The stream ends when the server stops or the key is revoked.
         */
        get: operations["stream-metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics/campaign/summary": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All runs that match, added up */
        get: operations["summarize-metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics/campaign/{campaignId}/runs/{runId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * One run: its phases, their total, its agents
         * @description Agents come in pages. The whole run is read for each of them, which takes about two seconds for a million agents.
         */
        get: operations["get-run"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics/campaign/{campaignId}/summary": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A campaign over all its runs */
        get: operations["summarize-campaign"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/asyncapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How to publish events to NATS, as an AsyncAPI 3.0 document
         * @description The subject and headers of a message, a JSON Schema with examples for each event, and the settings of the stream. Open to everyone, as this document is.
         */
        get: operations["asyncapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Is the process alive
         * @description Never fails for a fault outside the process.
         */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Metrics of the process, in Prometheus text format
         * @description Sends nothing to the database. Where keys are in use, a key with scope read is needed.
         */
        get: operations["process-metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Can the process answer HTTP, and how is the rest
         * @description 200 also when the store or Dataverse is down, blocked or throttled, or when another replica reads: state and reasons say so. Where keys are in use, only a key with scope read sees more than state.
         */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Accepted: {
            /**
             * Format: uuid
             * @description Identity of (campaignId, runId, phase) in every store.
             */
            runKey: string;
            /** Format: int64 */
            sequence: number;
            stream: string;
        };
        Agent: {
            agentId: string;
            agentName: string | null;
            /**
             * Format: int64
             * @description Of the final execution.
             */
            assetsGenerated: number;
            /**
             * Format: int64
             * @description Executions, the failed and repeated ones too.
             */
            attempts: number;
            costComplete: boolean;
            /** @description US dollars, an exact decimal of up to nine fraction digits. */
            costUSD: number;
            error: string | null;
            /**
             * Format: date-time
             * @description Of the final execution, null while there is none.
             */
            finishedAt: string | null;
            /**
             * Format: int64
             * @description Of the final execution.
             */
            latencyMs: number | null;
            model: string | null;
            /**
             * Format: date-time
             * @description Of the final execution, else of the start.
             */
            occurredAt: string;
            phase: string;
            /**
             * Format: date-time
             * @description Of the latest start, null where none was published.
             */
            startedAt: string | null;
            /** @enum {string} */
            status: "running" | "succeeded" | "failed" | "cancelled";
            /**
             * Format: int64
             * @description Over all executions, as tokensOut and costUSD.
             */
            tokensIn: number;
            /** Format: int64 */
            tokensOut: number;
        };
        Backlog: {
            /**
             * Format: int64
             * @description Runs whose row Dataverse refuses.
             */
            parked: number;
            /**
             * Format: int64
             * @description Runs whose newest version is due, now or later, or on its way.
             */
            waiting: number;
            /**
             * Format: date-time
             * @description Since when the one that waits longest is due, null where nothing waits.
             */
            waitingSince: string | null;
        };
        BacklogOutputBody: {
            dataverse: components["schemas"]["Backlog"];
        };
        CloudEventBody: {
            /** @description The event. */
            data: {
                [key: string]: unknown;
            };
            /** @description The event's, where data has none. */
            id: string;
            /** @description Not looked at. */
            source: string;
            /** @enum {string} */
            specversion: "1.0";
            /**
             * Format: date-time
             * @description The event's occurredAt, where data has none.
             */
            time?: string | null;
            /** @description Not looked at: the event's own type counts. */
            type: string;
        };
        CopyState: {
            /**
             * Format: int64
             * @description Rows that Dataverse took.
             */
            delivered: number;
            /**
             * Format: int64
             * @description Runs whose row Dataverse refuses.
             */
            parked: number;
            /** @description The newest of them, at most 20. */
            parkedRows: components["schemas"]["ParkedRow"][];
            reasons: string[];
            /**
             * Format: int64
             * @description Requests with rows.
             */
            requests: number;
            /**
             * @description standby: another replica keeps the copy. throttled: Dataverse asked for a pause. budget: the rows of the day are used up.
             * @enum {string}
             */
            state: "standby" | "active" | "throttled" | "degraded" | "blocked" | "budget";
            /**
             * Format: int64
             * @description Rows sent on this UTC day by all processes.
             */
            targetsToday: number;
            /**
             * Format: int64
             * @description Answers that asked for a pause.
             */
            throttles: number;
        };
        DeadLetter: {
            /** @description Empty where neither the event nor its subject names one. */
            campaignId: string;
            /** @description Every bad field with its rule. */
            detail: string;
            /**
             * Format: int64
             * @description Which timeline of the stream, as on /readyz.
             */
            epoch: number;
            /** @description The first bad field, empty where the message as a whole is at fault. */
            field: string;
            reason: string;
            runId: string;
            /** Format: int64 */
            sequence: number;
            stream: string;
            /**
             * Format: date-time
             * @description When the stream stored the message.
             */
            time: string;
        };
        ErrorDetail: {
            /** @description Where the error occurred, e.g. 'body.items[3].tags' or 'path.thing-id' */
            location?: string;
            /** @description Error message text */
            message?: string;
            /** @description The value at the given location */
            value?: unknown;
        };
        ErrorModel: {
            /**
             * @description A human-readable explanation specific to this occurrence of the problem.
             * @example Property foo is required but is missing.
             */
            detail?: string;
            /** @description Optional list of individual error details */
            errors?: components["schemas"]["ErrorDetail"][] | null;
            /**
             * Format: uri
             * @description A URI reference that identifies the specific occurrence of the problem.
             * @example https://example.com/error-log/abc123
             */
            instance?: string;
            /**
             * Format: int64
             * @description HTTP status code
             * @example 400
             */
            status?: number;
            /**
             * @description A short, human-readable summary of the problem type. This value should not change between occurrences of the error.
             * @example Bad Request
             */
            title?: string;
            /**
             * Format: uri
             * @description A URI reference to human-readable documentation for the error.
             * @default about:blank
             * @example https://example.com/errors/example
             */
            type: string;
        };
        EventBody: {
            /** @description Required of agent events. */
            agentId?: string;
            agentName?: string | null;
            /**
             * Format: int64
             * @description Of run.started.
             */
            agentsExpected?: number | null;
            /**
             * Format: int64
             * @default 0
             */
            assetsGenerated: number | null;
            /**
             * Format: int64
             * @default 1
             */
            attempt: number | null;
            campaignId: string;
            /** @description US dollars, rounded half even to nine fraction digits. */
            costUSD?: number | string;
            error?: string | null;
            /** @description Unique per event within its run. */
            id: string;
            /** @description Milliseconds, a fraction is rounded half up. */
            latencyMs?: number;
            /** @description Of run.reported, required there. */
            metrics?: components["schemas"]["ReportBody"];
            model?: string | null;
            /**
             * Format: date-time
             * @description From the year 2000 to a day ahead.
             */
            occurredAt: string;
            /**
             * @description Of run.finished.
             * @default completed
             * @enum {string}
             */
            outcome: "completed" | "failed" | "cancelled";
            phase: string;
            /** @description Of executions.voided. */
            reason?: string | null;
            runId: string;
            /**
             * @description Required of agent.finished.
             * @enum {string}
             */
            status?: "succeeded" | "failed" | "cancelled";
            /**
             * Format: int64
             * @default 0
             */
            tokensIn: number | null;
            /**
             * Format: int64
             * @default 0
             */
            tokensOut: number | null;
            /**
             * @default agent.finished
             * @enum {string}
             */
            type: "agent.finished" | "agent.started" | "run.started" | "run.finished" | "run.reported" | "executions.voided";
            /**
             * Format: int64
             * @enum {integer|null}
             */
            version?: 1 | null;
            /** @description Ids of the events that count nowhere. Of executions.voided, required there. */
            voids?: string[];
        };
        EventVerdict: {
            /** @description Every bad field with its rule. */
            detail?: string;
            /** @description The first bad field. */
            field?: string;
            /** @description The event's id, null where it cannot be read. */
            id: string | null;
            /**
             * Format: int64
             * @description Which event of the body, from 0; blank lines are none.
             */
            index: number;
            /** @description Where it is refused: as of a dead letter. */
            reason?: string;
            /**
             * Format: uuid
             * @description Absent where it is refused.
             */
            runKey?: string;
            /**
             * Format: int64
             * @description Where it is accepted or a duplicate.
             */
            sequence?: number;
            /**
             * @description accepted: new in the stream. duplicate: the stream has had it for a short while; one that it had longer ago is accepted, and counted once all the same. refused: it breaks the contract. unconfirmed, only where the answer is 503: the stream may have it or not.
             * @enum {string}
             */
            status: "accepted" | "duplicate" | "refused" | "unconfirmed";
            /** @description Where it is accepted or a duplicate. */
            stream?: string;
        };
        EventVerdicts: {
            /** Format: int64 */
            accepted: number;
            /** Format: int64 */
            duplicates: number;
            /** @description In the order of the body. */
            events: components["schemas"]["EventVerdict"][];
            /** Format: int64 */
            refused: number;
            /**
             * Format: int64
             * @description Only where the answer is 503.
             */
            unconfirmed?: number;
        };
        EventsProblem: {
            /**
             * @description A human-readable explanation specific to this occurrence of the problem.
             * @example Property foo is required but is missing.
             */
            detail?: string;
            /** @description Optional list of individual error details */
            errors?: components["schemas"]["ErrorDetail"][] | null;
            /**
             * Format: uri
             * @description A URI reference that identifies the specific occurrence of the problem.
             * @example https://example.com/error-log/abc123
             */
            instance?: string;
            /**
             * Format: int64
             * @description HTTP status code
             * @example 400
             */
            status?: number;
            /**
             * @description A short, human-readable summary of the problem type. This value should not change between occurrences of the error.
             * @example Bad Request
             */
            title?: string;
            /**
             * Format: uri
             * @description A URI reference to human-readable documentation for the error.
             * @default about:blank
             * @example https://example.com/errors/example
             */
            type: string;
        };
        HealthOutputBody: {
            /** @enum {string} */
            status: "ok";
        };
        LetterPage: {
            /** @description Those that nobody has dealt with, by stream, epoch and sequence, each descending: of one stream the newest first. */
            deadLetters: components["schemas"]["DeadLetter"][];
            /** @description Place of the next page, null behind the last. */
            nextCursor: string | null;
        };
        Metrics: {
            /** Format: int64 */
            agentsCancelled: number | null;
            /** Format: int64 */
            agentsExpected: number | null;
            /** Format: int64 */
            agentsFailed: number;
            /** Format: int64 */
            agentsMissing: number | null;
            /** Format: int64 */
            agentsRunning: number | null;
            /** Format: int64 */
            agentsSuccessful: number;
            /** Format: int64 */
            agentsTotal: number;
            /** Format: int64 */
            assetsGenerated: number;
            campaignId: string;
            costComplete: boolean;
            /** @description US dollars, an exact decimal of up to nine fraction digits. */
            costUSD: number;
            /** Format: date-time */
            createdAt: string;
            /** Format: int64 */
            executions: number | null;
            /** Format: date-time */
            finishedAt: string | null;
            /** Format: int64 */
            latencyAvgMs: number | null;
            /** Format: int64 */
            latencyMaxMs: number | null;
            /** Format: int64 */
            latencyP50Ms: number | null;
            /** Format: int64 */
            latencyP95Ms: number | null;
            /** Format: int64 */
            latencyP99Ms: number | null;
            phase: string;
            runId: string;
            /**
             * Format: uuid
             * @description Identity of (campaignId, runId, phase) in every store.
             */
            runKey: string;
            /** @enum {string} */
            source: "events" | "reported";
            /** @enum {string} */
            status: "running" | "stalled" | "completed" | "failed" | "cancelled";
            /** @description Percent with two decimals, null where there is nothing to divide by. */
            successRate: number | null;
            /** Format: int64 */
            tokensIn: number;
            /** Format: int64 */
            tokensOut: number;
            /** Format: date-time */
            updatedAt: string;
            /** Format: int64 */
            version: number;
        };
        Page: {
            /** @description Newest first, by createdAt and then runKey. */
            metrics: components["schemas"]["Metrics"][];
            /** @description Place of the next page, null behind the last. */
            nextCursor: string | null;
        };
        ParkedRow: {
            campaignId: string;
            phase: string;
            /** @description The column and its limit, or Dataverse's own code and message. */
            reason: string;
            runId: string;
            /**
             * Format: uuid
             * @description Identity of (campaignId, runId, phase) in every store.
             */
            runKey: string;
            /** Format: int64 */
            version: number;
        };
        ReportBody: {
            /**
             * Format: int64
             * @description Not greater than agentsTotal.
             */
            agentsSuccessful: number;
            /** Format: int64 */
            agentsTotal: number;
            /** Format: int64 */
            assetsGenerated: number;
            campaignId: string;
            /** @description US dollars, rounded half even to nine fraction digits. */
            costUSD: number | string;
            /**
             * Format: date-time
             * @description When the run took place; now where absent. From the year 2000 to a day ahead.
             */
            createdAt?: string | null;
            /** @description Milliseconds, a fraction is rounded half up. */
            latencyAvgMs: number;
            /** @description Milliseconds, a fraction is rounded half up. */
            latencyP95Ms: number;
            phase: string;
            runId: string;
            /** Format: int64 */
            tokensIn: number;
            /** Format: int64 */
            tokensOut: number;
        };
        RunDetail: {
            /** @description Sorted by phase and agent id. */
            agents: components["schemas"]["Agent"][];
            /** @description False where agents of a phase are not known: its executions were pruned, or it was only reported. */
            agentsKnown: boolean;
            /**
             * Format: int64
             * @description How many messages that name the run could not be applied.
             */
            deadLetters: number;
            /** @description One record for each phase, sorted by phase. */
            metrics: components["schemas"]["Metrics"][];
            /** @description Place of the next page of agents, null behind the last. */
            nextCursor: string | null;
            /**
             * Format: date-time
             * @description When executions of the run were last pruned, null where none were.
             */
            sealedAt: string | null;
            /** @description The run over all its phases; null where only dead letters name it. */
            total: components["schemas"]["Total"] | null;
        };
        State: {
            /** @description How the copy in Microsoft Dataverse is, where there is one. */
            dataverse?: components["schemas"]["CopyState"];
            /** @description Why it is not simply active. */
            reasons?: string[];
            /** @enum {string} */
            state: "starting" | "active" | "standby" | "degraded" | "blocked" | "stopping";
            streams?: components["schemas"]["StreamState"][];
        };
        StreamState: {
            /**
             * Format: int64
             * @description Events of this epoch that were applied to a run, as deadLetters and duplicates as of the last commit this process made or found.
             */
            applied: number;
            /**
             * Format: int64
             * @description Messages of this epoch that no run could take.
             */
            deadLetters: number;
            /**
             * Format: int64
             * @description From when the stream stored the last message that this process committed until its commit, in milliseconds by the clocks of both; 0 before.
             */
            delayMs: number;
            /**
             * Format: int64
             * @description Events of this epoch that were applied before.
             */
            duplicates: number;
            /**
             * Format: int64
             * @description How many timelines of the stream were read, 0 before the first commit.
             */
            epoch: number;
            /**
             * Format: int64
             * @description How many messages had left the stream before they were read, in this epoch.
             */
            gone: number;
            /**
             * Format: int64
             * @description The last sequence that the stream is known to hold.
             */
            lastSequence: number;
            /**
             * Format: double
             * @description How many hours the database could stay away before events are lost or refused; null where nothing bounds it.
             */
            outageHours: number | null;
            /**
             * Format: int64
             * @description How many messages it is known to hold behind the position.
             */
            pending: number;
            /**
             * Format: int64
             * @description The last sequence that is committed.
             */
            position: number;
            reasons: string[];
            /** @enum {string} */
            state: "starting" | "active" | "standby" | "degraded" | "blocked" | "stopping";
            stream: string;
        };
        Summary: {
            /** Format: int64 */
            agentsCancelled: number;
            /** Format: int64 */
            agentsFailed: number;
            /** Format: int64 */
            agentsMissing: number;
            /**
             * Format: int64
             * @description In runs that show running.
             */
            agentsRunning: number;
            /** Format: int64 */
            agentsSuccessful: number;
            /** Format: int64 */
            agentsTotal: number;
            /** Format: int64 */
            assetsGenerated: number;
            /** @description Null where the runs are of any campaign. */
            campaignId: string | null;
            costComplete: boolean;
            /** @description US dollars, an exact decimal of up to nine fraction digits. */
            costUSD: number;
            /**
             * Format: date-time
             * @description Of the earliest run, null without runs.
             */
            createdAt: string | null;
            /** Format: int64 */
            executions: number;
            /**
             * Format: int64
             * @description How many agents the latencies are over.
             */
            latencyAgents: number;
            /**
             * Format: int64
             * @description Latencies are exact, over the final executions of all runs that were not cancelled; null without any.
             */
            latencyAvgMs: number | null;
            /** Format: int64 */
            latencyMaxMs: number | null;
            /** Format: int64 */
            latencyP50Ms: number | null;
            /** Format: int64 */
            latencyP95Ms: number | null;
            /** Format: int64 */
            latencyP99Ms: number | null;
            /**
             * Format: int64
             * @description Runs whose executions are not known: reported ones, and some whose executions were pruned.
             */
            latencyUnknownRuns: number;
            /**
             * Format: int64
             * @description Records, one for each phase of a run.
             */
            runs: number;
            /** Format: int64 */
            runsCancelled: number;
            /** Format: int64 */
            runsCompleted: number;
            /** Format: int64 */
            runsFailed: number;
            /**
             * Format: int64
             * @description Of these runs only a report is known, no executions.
             */
            runsReported: number;
            /** Format: int64 */
            runsRunning: number;
            /** Format: int64 */
            runsStalled: number;
            /** @description Of all agents, by the divisor that the status of each run asks for. */
            successRate: number | null;
            /** Format: int64 */
            tokensIn: number;
            /** Format: int64 */
            tokensOut: number;
            /**
             * Format: date-time
             * @description Of the run that was committed last, null without runs.
             */
            updatedAt: string | null;
        };
        Total: {
            /** Format: int64 */
            agentsCancelled: number | null;
            /** Format: int64 */
            agentsExpected: number | null;
            /** Format: int64 */
            agentsFailed: number;
            /** Format: int64 */
            agentsMissing: number | null;
            /** Format: int64 */
            agentsRunning: number | null;
            /** Format: int64 */
            agentsSuccessful: number;
            /** Format: int64 */
            agentsTotal: number;
            /** Format: int64 */
            assetsGenerated: number;
            campaignId: string;
            costComplete: boolean;
            /** @description US dollars, an exact decimal of up to nine fraction digits. */
            costUSD: number;
            /** Format: date-time */
            createdAt: string;
            /** Format: int64 */
            executions: number | null;
            /**
             * Format: date-time
             * @description Null until all phases are closed.
             */
            finishedAt: string | null;
            /** Format: int64 */
            latencyAvgMs: number | null;
            /** Format: int64 */
            latencyMaxMs: number | null;
            /** Format: int64 */
            latencyP50Ms: number | null;
            /** Format: int64 */
            latencyP95Ms: number | null;
            /** Format: int64 */
            latencyP99Ms: number | null;
            runId: string;
            /** @description Percent with two decimals, null where there is nothing to divide by. */
            successRate: number | null;
            /** Format: int64 */
            tokensIn: number;
            /** Format: int64 */
            tokensOut: number;
            /** Format: date-time */
            updatedAt: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    "get-backlog": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Null where no copy is kept. */
                        dataverse: components["schemas"]["Backlog"] | null;
                    };
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-dead-letters": {
        parameters: {
            query?: {
                /** @description How many dead letters at most. */
                limit?: number;
                /** @description The nextCursor of the page before, asked for with the same filters. */
                cursor?: string;
                /** @description Dead letters that name this campaign. */
                campaignId?: string;
                /** @description Dead letters that name a run with this id. */
                runId?: string;
                /** @description Dead letters whose message was stored at this time or later. */
                since?: string;
            };
            header?: {
                /** @description ETags of answers that the client has. */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LetterPage"];
                };
            };
            /** @description Not Modified */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "post-events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/cloudevents+json": components["schemas"]["CloudEventBody"];
                "application/cloudevents-batch+json": components["schemas"]["CloudEventBody"][];
                /**
                 * @example {
                 *       "id": "0191-1",
                 *       "campaignId": "api-test-001",
                 *       "runId": "api-run-001",
                 *       "phase": "2-3",
                 *       "occurredAt": "2026-02-14T14:47:08Z",
                 *       "agentId": "writer",
                 *       "status": "succeeded",
                 *       "latencyMs": 38000,
                 *       "tokensIn": 1000,
                 *       "tokensOut": 2000,
                 *       "costUSD": 0.002,
                 *       "assetsGenerated": 8
                 *     }
                 */
                "application/json": components["schemas"]["EventBody"] | components["schemas"]["EventBody"][];
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EventVerdicts"];
                };
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["EventsProblem"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Request Timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Request Entity Too Large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unsupported Media Type */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["EventsProblem"];
                };
            };
        };
    };
    "list-metrics": {
        parameters: {
            query?: {
                /** @description How many records at most. */
                limit?: number;
                /** @description The nextCursor of the page before, asked for with the same filters. */
                cursor?: string;
                /** @description Records of this campaign. */
                campaignId?: string;
                /** @description Records of runs with this id. */
                runId?: string;
                /** @description Records of this phase. */
                phase?: string;
                /** @description Records that show this status. */
                status?: "running" | "stalled" | "completed" | "failed" | "cancelled";
                /** @description Records created at this time or later. */
                since?: string;
                /** @description Records created before this time. */
                until?: string;
                /** @description In place of the header Accept with application/json, text/csv or application/x-ndjson. */
                format?: "json" | "csv" | "ndjson";
            };
            header?: {
                /** @description ETags of answers that the client has. */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page"];
                    "application/x-ndjson": string;
                    "text/csv": string;
                };
            };
            /** @description Not Modified */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "report-metrics": {
        parameters: {
            query?: never;
            header?: {
                /** @description Id of the report within its run: repeated with the same id it is counted once. A fresh UUID where absent. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "campaignId": "api-test-001",
                 *       "runId": "api-run-001",
                 *       "phase": "2-3",
                 *       "agentsTotal": 3,
                 *       "agentsSuccessful": 3,
                 *       "assetsGenerated": 8,
                 *       "tokensIn": 1000,
                 *       "tokensOut": 2000,
                 *       "costUSD": 0.002,
                 *       "latencyP95Ms": 45000,
                 *       "latencyAvgMs": 38000
                 *     }
                 */
                "application/json": components["schemas"]["ReportBody"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    Location?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Metrics"];
                };
            };
            /** @description Accepted */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accepted"];
                };
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Request Timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Request Entity Too Large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unsupported Media Type */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "stream-metrics": {
        parameters: {
            query?: {
                /** @description How many records at most come first. */
                limit?: number;
                /** @description In place of Last-Event-ID, for clients that cannot set it. */
                lastEventId?: string;
                /** @description Records of this campaign. */
                campaignId?: string;
                /** @description Records of runs with this id. */
                runId?: string;
                /** @description Records of this phase. */
                phase?: string;
            };
            header?: {
                /** @description The last id of a stream before. One that cannot be read counts as absent. */
                "Last-Event-ID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "summarize-metrics": {
        parameters: {
            query?: {
                /** @description Records of this campaign. */
                campaignId?: string;
                /** @description Records of runs with this id. */
                runId?: string;
                /** @description Records of this phase. */
                phase?: string;
                /** @description Records that show this status. */
                status?: "running" | "stalled" | "completed" | "failed" | "cancelled";
                /** @description Records created at this time or later. */
                since?: string;
                /** @description Records created before this time. */
                until?: string;
            };
            header?: {
                /** @description ETags of answers that the client has. */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Summary"];
                };
            };
            /** @description Not Modified */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-run": {
        parameters: {
            query?: {
                /** @description How many agents at most. */
                limit?: number;
                /** @description The nextCursor of the page before, asked for with the same filters. */
                cursor?: string;
            };
            header?: {
                /** @description ETags of answers that the client has. */
                "If-None-Match"?: string;
            };
            path: {
                campaignId: string;
                runId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunDetail"];
                };
            };
            /** @description Not Modified */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Not Found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "summarize-campaign": {
        parameters: {
            query?: {
                /** @description Records of runs with this id. */
                runId?: string;
                /** @description Records of this phase. */
                phase?: string;
                /** @description Records that show this status. */
                status?: "running" | "stalled" | "completed" | "failed" | "cancelled";
                /** @description Records created at this time or later. */
                since?: string;
                /** @description Records created before this time. */
                until?: string;
            };
            header?: {
                /** @description ETags of answers that the client has. */
                "If-None-Match"?: string;
            };
            path: {
                campaignId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Summary"];
                };
            };
            /** @description Not Modified */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Bad Request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Not Found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    asyncapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "Content-Type"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["HealthOutputBody"];
                };
            };
            /** @description Error */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "process-metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description Unauthorized */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    openapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "Content-Type"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["State"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
}
