// Package schema holds the contract of events in the languages of others: JSON Schema 2020-12 for each type of event, and
// an AsyncAPI 3.0 document for the stream. The files stand beside this text and are part of the program.
//
// They promise that what a schema refuses the decoder of package events refuses too, and that the decoder accepts what a
// schema accepts, but for what JSON Schema cannot say. That is a closed list; each rule has a name, which a $comment
// carries where it applies:
//
//   - utf16-length: lengths count UTF-16 code units, JSON Schema counts characters. One beyond the basic plane, such as
//     an emoji, is two.
//   - double-digits: most validators read numbers as doubles. Digits that a double does not hold are not seen: for such a
//     validator 5.00000000000000000001 is an integer, and 2147483647.4999999999 is not below 2147483647.5.
//   - cost-exponent: a cost in a string may have an exponent, and the size of "1e7" is not its length.
//   - time-ends: at both ends of the range of times an offset from UTC decides.
//   - clock: occurredAt may lie a day ahead of the time at which the stream stores the event.
//   - metrics-key: campaignId, runId and phase inside metrics, where given, equal the event's.
//   - metrics-successful: agentsSuccessful is not greater than agentsTotal.
//   - repeated-names: no object has a name twice. Parsers keep one of them before a validator sees it.
//   - surrogates: no string has half of a surrogate pair, and the text is UTF-8.
//   - size: a payload has at most 65,536 bytes, and is nested at most 10,000 deep.
//   - content-type: a header that says CloudEvents says their JSON format, and no batch.
//   - subject: the subject names the campaign and the run of the event.
//   - data-base64: what is encoded in data_base64 of a CloudEvent is an event.
//
// That an id has only one content within its run no single event can show.
package schema
