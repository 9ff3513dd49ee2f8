// Package emulator is a Microsoft Dataverse organisation with its token endpoint, for tests and for work without one. It
// speaks the Web API v9.x over HTTP, so that clients need not know that it is none: created, read, queried, updated,
// upserted and deleted rows, bulk actions, batches with change sets, definitions of tables, columns and alternate keys,
// limits of columns, error codes, service protection limits on a clock that can be set, and faults on demand.
//
// It promises three things. What it does, it does as Microsoft's documentation says, and is as strict. Where that says
// nothing it does what is listed below. What it does not know it answers with 501 and a text that names it, never with a
// guess; so a client that gets no 501 uses nothing here that Dataverse does not have.
//
// It has one application, which may do everything; no users, rights, relationships, choices, files, plug-ins, solutions,
// languages but English, elastic tables or change tracking.
//
// # Requests
//
// A request is one transaction, and requests take place one after the other. With Config.Dir a transaction is in the hands
// of the operating system before it is answered: the end of the process loses nothing that was answered.
//
// # What Microsoft does not document
//
// These were chosen. Do not rely on them elsewhere.
//
// Rows:
//   - A number with more fraction digits than its column has is rounded, halves away from zero, after its range was
//     checked. It comes back with all fraction digits of its column. Double columns are kept as exactly as Decimal ones.
//   - A number for an Integer column must be written without fraction and exponent. Numbers in strings are refused.
//   - Fractions of seconds are cut. A time without offset is UTC. A date is no time. Times before 1753 are 0x80040239.
//   - An empty text is null. Lengths count UTF-16 code units.
//   - createdon, modifiedon and versionnumber are the only columns that a table has besides its own. In a body they are
//     ignored; other names that are not columns are 0x80048d19.
//   - The primary id in the body of PATCH must be that of the URL. Where the URL has an alternate key, it counts for a new
//     row only.
//   - A version that is not the row's does not hold, whatever its form. Other conditions than those of the documentation
//     are 501: of one column, of DELETE with If-None-Match, of GET with If-Match or with *.
//   - PATCH by id answers the address by id in small letters, however the URL was written.
//   - An upsert that carries only what the row has already is a write, too: its ETag changes.
//   - Whole numbers beyond 32 bits are 0x80048d19, those beyond the column's range 0x8004432f, fractions 0x80044330.
//
// Alternate keys:
//   - A key is Pending for a second, InProgress for another, then Active, or Failed if its rows are not unique. It counts
//     neither for addresses nor for uniqueness before. A key that has failed stays so.
//   - Case does not matter. A null in a key equals nothing. A duplicate is 412, 0x80060892.
//   - Values with / < > * % & : \ ? + cannot be addressed, 400 with 0x80060888, in @odata.id either; they can be stored.
//   - Columns that are no active key are 0x80060890.
//   - The texts of a key must have room for 900 bytes at two a character.
//
// Bulk actions:
//   - The same row twice in a call is written twice, in order.
//   - UpsertMultiple makes rows with new ids of targets without any. UpdateMultiple takes alternate keys, too.
//   - A key in the body that contradicts the one in @odata.id is ignored where the row exists.
//   - DeleteMultiple answers its documented message with 501.
//
// Queries:
//   - Without $orderby rows come by id, byte by byte. Ties of $orderby come by id. Null comes first, texts without regard to
//     case and by code point.
//   - Texts are compared without regard to case, but with accents. Null is ne to everything but null, and neither
//     greater nor less than anything. not turns a result around, also where null made it false.
//   - A condition takes no part in a comparison, and not needs parentheses unless a function follows; else they are 501.
//   - A literal must be of its column's type. GUIDs may be quoted. A date is a time, too: its midnight in UTC.
//   - $top above 5000 gives 5000 rows and no next link.
//   - A page begins behind the values that the last row of the page before had, so rows that changed since may come twice
//     or not at all. The page number in a cookie is not looked at. A next link serves pages of any size.
//   - $skip is refused with 0x80060888. Other options that are not known are 501, unlike names of columns, which are 400.
//   - Annotations are totalrecordcount and totalrecordcountlimitexceeded only; there are no formatted values, and none of
//     errors.
//
// Definitions:
//   - They can be read and added to. A change shows at once, with or without Consistency: Strong; nothing needs to be
//     published. MSCRM.SolutionUniqueName and ?SolutionUniqueName= have no effect.
//   - Columns can be String, Memo, Integer, Decimal, Double and DateTime, texts of the plain format only. Defaults:
//     MaxLength 100 and 2000, Precision 2, the widest range, DateAndTime, UserLocal.
//   - What is wrong in a definition is 0x80040203, a name without a publisher's prefix too. ApplicationRequired is not
//     enforced.
//   - Plurals: y after a consonant becomes ies, s, x, ch and sh take es, all else takes s.
//   - A definition that does not exist is 0x80060888. Columns of types that no table here can have are an empty list.
//
// Paths, headers and methods:
//   - A first segment that is no entity set is 404 where it begins with a publisher's prefix, and 501 otherwise, as it may
//     be the service's own: accounts, sdkmessagefilters, $metadata, functions and actions.
//   - Accept, Content-Type and OData-Version are not looked at, but for the Content-Type of a batch.
//   - A method that a resource does not have is 405, 0x0. A body above 116.85 MB is 413, a URL of more than 32,768
//     characters 414.
//
// Tokens:
//   - Any tenant gives them, for a secret only: assertions, other grants and other applications than the one are refused.
//     They are signed with a key that lives as long as the emulator, so a restart ends them.
//   - The host of a request must be that of the token's scope; the schemes may differ.
//   - A 401 has an error without a code. Whoever has a token may do everything: there is no 403.
//
// Batches:
//   - A change set that fails answers one part in its own multipart body, with the Content-ID of the operation that
//     failed. What was served before it stays, and is answered before it.
//   - A batch that cannot be read has no effect, and is 400 with 0x80048d19: more than 1000 operations, a GET in a change
//     set, a Content-ID twice, a batch in a batch, a URL above 65,536 characters. Lines may end without carriage return.
//   - References like $1 are known in URLs, not in bodies, and 501 to an operation that answered no OData-EntityId.
//   - Only multipart/mixed is known, JSON is 501.
//
// Service protection:
//   - There is one web server, and all clients are one user. A batch, like a bulk call, is one request.
//   - A window is cut into 300 parts, and a request leaves it with its part. Retry-After says when enough will have left.
//     Each request that comes before lengthens it by a second, up to a whole window. It is a second for too many
//     concurrent requests. Refused requests do not count for the limits.
//   - The time that remains is told in seconds with two digits. x-ms-dop-hint is what Limits says.
//
// # Control
//
// These paths are not of Dataverse, and need no token:
//
//	POST   /emulator/faults  {"kind":"throttle","path":"UpsertMultiple","times":3,"retryAfter":"5s"}; see Fault
//	GET    /emulator/faults  those that are left
//	DELETE /emulator/faults  ends all
//	GET    /emulator/stats   see Stats
//	DELETE /emulator/rows    of all tables
package emulator
