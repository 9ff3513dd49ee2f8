// Command runmetrics turns the events of agent runs into one record of metrics for each run.
//
// This package is the door: subcommands, environment, wiring. It is the only place that knows everyone; what it wires
// lies below it and does not know it.
//
//	events            what a runtime may say, decoding, subjects, ids
//	aggregate         the arithmetic of a run: pure
//	sinks             what a store promises
//	sinks/sqlite      the embedded store
//	sinks/postgres    the real one
//	sinks/dataverse   the copy in Microsoft Dataverse, and emulator, an organization for tests and trials
//	consumer          the pipeline from a JetStream stream into a store
//	query             the HTTP API
//
// Start reading at run (command.go), which is main without the process: arguments, environment and streams come in, an
// exit code goes out. Each subcommand has a file of its name; "dataverse test" has dataverse_sample.go, for Go takes
// _test.go for tests. wire.go draws how the service hangs together.
package main
