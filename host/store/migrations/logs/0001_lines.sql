-- What runs wrote. Times are microseconds since 1970-01-01 UTC, ids are the 16 bytes of a UUID.
-- `flow` is the flow run, and the run itself where it is part of none.

CREATE TABLE lines (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they were written
  flow BLOB NOT NULL,
  run BLOB NOT NULL,
  at INTEGER NOT NULL,
  source INTEGER NOT NULL,              -- 0 log, 1 stdout, 2 stderr, 3 the host
  level INTEGER NOT NULL,               -- 0 trace, 1 debug, 2 info, 3 warn, 4 error
  message TEXT NOT NULL
);
CREATE INDEX lines_by_flow ON lines(flow);
CREATE INDEX lines_by_run ON lines(run);

-- How far runs have come: the newest of each run.
CREATE TABLE progress (
  run BLOB PRIMARY KEY,
  flow BLOB NOT NULL,
  at INTEGER NOT NULL,
  done INTEGER NOT NULL,
  total INTEGER,
  message TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX progress_by_flow ON progress(flow);
