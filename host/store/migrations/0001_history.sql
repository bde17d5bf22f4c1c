-- The history of flow runs. Times are microseconds since 1970-01-01 UTC, ids are the 16 bytes of
-- a UUID, digests the 32 bytes of a SHA-256. `state` is the kind of a state: 0 scheduled,
-- 1 pending, 2 running, 3 completed, 4 failed, 5 crashed, 6 cancelled, 7 cancelling, 8 paused;
-- 3 to 6 are final. `seal` is eight bytes of BLAKE3 over what the row says.

CREATE TABLE flows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL,
  state INTEGER NOT NULL,
  state_name TEXT NOT NULL,
  message TEXT,
  state_at INTEGER NOT NULL,            -- of a final state: when it ended
  created INTEGER NOT NULL,
  started INTEGER,                      -- when it was first running
  idempotency_key TEXT UNIQUE,
  parent BLOB,                          -- the flow run that it is part of
  based_on BLOB,                        -- the flow run whose results it uses again
  labels TEXT NOT NULL,                 -- a JSON array of strings
  session BLOB NOT NULL,                -- of the writer that ran it last
  starts INTEGER NOT NULL,              -- how many processes have run it
  stages INTEGER NOT NULL,              -- how many rows it has in `stages`
  steps INTEGER NOT NULL,               -- and in `steps`: by these a row that is lost is missed
  outcome BLOB,                         -- MessagePack of an outcome that is not a value
  result BLOB,                          -- the value, when it is small
  result_digest BLOB,                   -- else the name of its blob
  deleted INTEGER NOT NULL DEFAULT 0,   -- 1: it is being deleted, and is seen by nobody
  seal INTEGER NOT NULL
);
CREATE INDEX flows_by_parent ON flows(parent) WHERE parent IS NOT NULL;
CREATE INDEX flows_not_ended ON flows(state) WHERE state NOT IN (3, 4, 5, 6);
CREATE INDEX flows_by_blob ON flows(result_digest) WHERE result_digest IS NOT NULL;

-- How to make a flow's plan again. Apart from `flows`, so that a list of flows need not read it.
CREATE TABLE sources (
  flow INTEGER PRIMARY KEY REFERENCES flows(id) ON DELETE CASCADE,
  body BLOB NOT NULL,                   -- MessagePack of a flow source
  seal INTEGER NOT NULL
);

-- Which blobs hold the components of a flow.
CREATE TABLE components (
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  digest BLOB NOT NULL,
  PRIMARY KEY (flow, digest)
) WITHOUT ROWID;
CREATE INDEX components_by_digest ON components(digest);

-- The stages of a flow, with counts of their runs, so that nobody has to count rows.
CREATE TABLE stages (
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  name TEXT NOT NULL,
  component BLOB,
  task TEXT NOT NULL,
  mapped INTEGER NOT NULL,
  total INTEGER,                        -- how many runs it will have, once that is known
  scheduled INTEGER NOT NULL,           -- runs by state: these nine add up to its rows in `runs`
  pending INTEGER NOT NULL,
  running INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  crashed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  cancelling INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  skipped INTEGER NOT NULL,             -- of the completed, those by the name Skipped
  cached INTEGER NOT NULL,              -- of the completed, those by the name Cached
  reused INTEGER NOT NULL,              -- of the ended, those with the value of an earlier run
  retried INTEGER NOT NULL,             -- attempts beyond the first, of all runs
  names TEXT NOT NULL,                  -- final runs by state name, as a JSON object
  first_started INTEGER,
  last_ended INTEGER,
  busy_micros INTEGER NOT NULL,         -- wall time of the last attempts of ended runs, summed up
  slowest_micros INTEGER NOT NULL,
  slowest BLOB,                         -- the run that took so long
  peak_memory INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  fuel INTEGER NOT NULL,
  seal INTEGER NOT NULL,
  PRIMARY KEY (flow, stage)
) WITHOUT ROWID;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  stage INTEGER NOT NULL,
  idx INTEGER NOT NULL,                 -- position in a map; -1 for a run that is not of a map
  run BLOB NOT NULL UNIQUE,
  name TEXT,                            -- none: that of the stage, with [idx] in a map
  state INTEGER NOT NULL,
  state_name TEXT NOT NULL,
  message TEXT,
  state_at INTEGER NOT NULL,            -- of a final state: when it ended
  created INTEGER NOT NULL,
  started INTEGER,                      -- when its first attempt started
  attempts INTEGER NOT NULL,            -- attempts that were started
  tried INTEGER NOT NULL,               -- attempts that have ended
  arguments BLOB NOT NULL,              -- the first 16 bytes of their BLAKE3
  outcome BLOB,                         -- of an ended run: MessagePack of what is not a value,
  result BLOB,                          -- the value when it is small,
  result_digest BLOB,                   -- or the name of its blob
  value_of BLOB,                        -- the earlier run whose value it has
  last_started INTEGER,                 -- of the last attempt, where that is not `started`
  last_ended INTEGER,                   -- of the last attempt, where that is not `state_at`
  wall_micros INTEGER NOT NULL,         -- what the last attempt used
  peak_memory INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  fuel INTEGER,
  read_context INTEGER NOT NULL,
  seal INTEGER NOT NULL,
  UNIQUE (flow, stage, idx)
);
CREATE INDEX runs_not_ended ON runs(flow) WHERE state NOT IN (3, 4, 5, 6);
CREATE INDEX runs_failed ON runs(flow, stage, idx) WHERE state IN (4, 5);
CREATE INDEX runs_by_blob ON runs(result_digest) WHERE result_digest IS NOT NULL;

-- Attempts. The last attempt of a run that ended with it has no row here as a rule: its facts are
-- in the run's row.
CREATE TABLE attempts (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  message TEXT,
  retry_at INTEGER,
  wall_micros INTEGER NOT NULL,
  peak_memory INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  fuel INTEGER,
  read_context INTEGER NOT NULL,
  seal INTEGER NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID;

-- States: every one of a flow, and of a run those beyond pending, running and the final one.
CREATE TABLE changes (
  id INTEGER PRIMARY KEY,
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  run INTEGER REFERENCES runs(id) ON DELETE CASCADE,   -- none: of the flow itself
  state INTEGER NOT NULL,
  state_name TEXT NOT NULL,
  message TEXT,
  at INTEGER NOT NULL,
  seal INTEGER NOT NULL
);
CREATE INDEX changes_by_run ON changes(flow, run);
CREATE INDEX changes_of_run ON changes(run) WHERE run IS NOT NULL;

-- The journal of a flow component: commands and observations in their order.
CREATE TABLE steps (
  id INTEGER PRIMARY KEY,
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  body BLOB NOT NULL,
  seal INTEGER NOT NULL,
  UNIQUE (flow, seq)
);

-- What else happened to a flow: hooks, resumes, requests to cancel.
CREATE TABLE notes (
  id INTEGER PRIMARY KEY,
  flow INTEGER NOT NULL REFERENCES flows(id) ON DELETE CASCADE,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  seal INTEGER NOT NULL
);
CREATE INDEX notes_by_flow ON notes(flow);

-- What has ended stays as it is. It can only be deleted, and what is being deleted stays so.
CREATE TRIGGER flows_are_final
BEFORE UPDATE ON flows WHEN (OLD.state IN (3, 4, 5, 6) OR OLD.deleted) AND NOT NEW.deleted
BEGIN
  SELECT RAISE(ABORT, 'a flow run that has ended cannot be changed');
END;
CREATE TRIGGER runs_are_final BEFORE UPDATE ON runs WHEN OLD.state IN (3, 4, 5, 6)
BEGIN
  SELECT RAISE(ABORT, 'a run that has ended cannot be changed');
END;
CREATE TRIGGER steps_are_final BEFORE UPDATE ON steps
BEGIN
  SELECT RAISE(ABORT, 'a step of a journal cannot be changed');
END;
CREATE TRIGGER attempts_are_final BEFORE UPDATE ON attempts
BEGIN
  SELECT RAISE(ABORT, 'an attempt that has ended cannot be changed');
END;
