// Package sqlite keeps the promise of package sinks in one file. It is the default store: nothing has to be set up for it,
// Open makes the file and its schema.
//
// # Safety
//
// Commits go to a write-ahead log that is synced when it is moved into the file, not at each commit (synchronous=NORMAL).
// Once Commit has returned, the batch survives the loss of the process. A loss of power may take the newest commits back, and
// takes them whole and in order: the position goes back together with the runs, and the reader reads on from there, as after
// a restore. Nothing is lost that the stream still holds.
//
// One connection writes and takes the write lock at the begin of its transaction, so what the guards of a commit have seen
// stays true until it ends. Reads have connections of their own, wait for nobody, and each sees whole commits only. Other
// processes may read and write the file too; the guards hold for them as well.
//
// A backup is put back while nobody has the file open, and without the log of the old one: file-wal and file-shm must be
// removed with it, because SQLite would write the pages of any log that it finds into any file. Under an open store a
// backup may be restored by SQLite's own means (.restore of its shell, or one transaction of SQL); the guards see to the
// rest. A file that is exchanged or removed under an open store makes Position and Commit ErrBlocked, and its log is set
// aside for the new one's sake. A copy that overwrites the open file itself is noticed by nobody and destroys it.
//
// # Form
//
// Times are RFC 3339 text in UTC with six fraction digits, costs are decimal text, success_rate is the double nearest to
// two decimals; all of them read back exactly. The events of a commit stand in one row for each run, and the views
// agent_runs and run_events take them apart. Runs are counted in the order in which they come: their events and the indexes
// of their names are kept by that number, so that a new run costs nearly the same whatever is stored.
//
// # Speed
//
// Measured on two cores that others used at the same time, by go test -run '^$' -bench . ./sinks/sqlite, 10,000
// executions a commit: 10 executions for each of 1,000 new runs 160,000 to 270,000 executions/s and 178 bytes of file
// for each, 100 runs 420,000 to 800,000/s and 138 bytes, one run 600,000 to 900,000/s and 133 bytes, one execution
// for each of 10,000 runs 15,000 to 35,000/s and 593 bytes. Outbox marks, /marks in the benchmark, add 170 bytes and
// 10 to 15 µs of processor time a run: in seven runs by turns the median with 1,000 runs fell by 12 %. With ten million
// runs stored an execution of 1,000 new runs cost 8.0 µs of processor time, with ten thousand 6.0. A commit of one event
// took 0.14 ms, reading a run of 10,000 executions back 22 ms, and a query over a million rows of agent_runs 8 s.
//
// Among 300,000 runs that waited, 100 were claimed in 6 to 30 ms and settled in 8 to 50 ms. A claim that finds
// nothing due only reads.
package sqlite
