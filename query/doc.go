// Package query is the HTTP window: it takes reported runs in, answers what is stored, and says how the process is.
//
// It promises that every refusal is an RFC 9457 problem that names each bad field, with status 400 wherever the field
// stood; that money never passes through a float; that a record answered with 201 is committed; that an answer from
// the store, or a 503 in its place, is there within two seconds; that /healthz and /readyz never ask the database; and
// that with keys nobody without a valid one gets more than the panel's own files, the state and the OpenAPI document, nor
// learns which other routes there are. What it keeps between requests saves work, or slows down who asks too often: any
// replica answers any of them.
//
// It knows nothing of NATS. Publishing, waiting for a commit and the state of the process come in as funcs of Config.
// Begin reading at New; Serve runs what it returns.
package query
