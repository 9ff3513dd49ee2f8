// Package dataverse keeps a copy of the metrics in a table of Microsoft Dataverse, over its Web API 9.2.
//
// # Rows
//
// A run and phase is one row. Its id is the run key (or the id of a row that somebody made by hand before, where the
// store says so), its values are absolute, and it is always written as an upsert by that id: each write may be repeated, and
// the last one wins. No alternate key is needed. Create exists for other uses; nothing here calls it.
//
//	field             column                 type
//	campaignId        apex_campaignid        Text(64)
//	runId             apex_runid             Text(64)
//	phase             apex_phase             Text(16)
//	agentsTotal       apex_agentstotal       Integer
//	agentsSuccessful  apex_agentssuccessful  Integer
//	assetsGenerated   apex_assetsgenerated   Integer
//	tokensIn          apex_tokensin          Integer
//	tokensOut         apex_tokensout         Integer
//	costUSD           apex_costusd           Decimal, 5 digits after the point, 0 to 99999.99999
//	latencyP95Ms      apex_latencyp95ms      Integer
//	latencyAvgMs      apex_latencyavgms      Integer
//	successRate       apex_successrate       Decimal, 2 digits after the point, 0 to 100
//	createdAt         apex_createdat         DateTime, UTC, whole seconds (cut)
//
// Integers are 0 to 2147483647. The name of the entity set and the real lengths, ranges and precisions come from the
// table's definition. The title column, where it is none of these, gets "campaignId · runId · phase", shortened to fit.
// A number without meaning is an explicit null.
//
// Costs are computed and rounded (half even, to as many digits as the column keeps) in integers; no float is on their
// way. A value that its column cannot hold is a *Misfit. It is never cut or clamped.
//
// # Dispatcher
//
// A Dispatcher takes runs that are due from the outbox, newest version only, and sends them by UpsertMultiple. All requests
// pass one gate, which keeps the service protection limits, obeys Retry-After for everybody at once, and follows the
// parallelism that the organization recommends. A request that is too much is halved, one that is refused is taken apart
// until the row at fault is alone; that row is parked. So is one with which requests fail or take too long while others
// pass; it is tried again after ten minutes. The table's definition is read again when rows are refused or do
// not fit, and when it is ten minutes old and something is to be sent. Through an outage the rows under way are held and
// the store is left alone. A request whose answer was lost is repeated, and its rows are sent once more when it can not
// take place any more; so are those that a former owner had under way. A process that was stopped meanwhile learns from
// the store that its claims are lost, and makes the rows due again: whoever wrote last, the newest version is written after
// it. An owner takes over twice, at once and when claims that were on their way to the store have arrived.
//
// What is left: a process that is stopped for longer than a request may linger, wakes, has an old request taken, and is
// killed before it can say so, leaves older rows. The next version of these runs mends them, and so does reconcile.
//
// # Errors
//
// An *Error is sinks.ErrUnavailable, sinks.ErrBlocked or sinks.ErrRefused, by HTTP status and code, and says what a person
// can do. Throttled, TimedOut and Ambiguous tell more. The client repeats nothing by itself but a request whose token was
// not accepted, once.
//
// # Secrets
//
// The client secret is read when a token is asked for and kept nowhere. Neither it nor a token is part of an error or a
// log, and neither leaves for another host: redirects are not followed, links to next pages are checked.
//
// # Limits
//
// A page has at most 5,000 rows. A request ends after three minutes, one for a token after thirty seconds, and an answer
// is read up to 64 MiB. Texts that are made with a table or a column are in English (1033).
package dataverse
