-- Results that later runs of the same call may use again.
CREATE TABLE cache (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,             -- 32 bytes of BLAKE3 over all that follows up to user_key
  component BLOB NOT NULL,
  task TEXT NOT NULL,
  arguments BLOB NOT NULL,              -- 32 bytes of BLAKE3 over the canonical arguments
  profile TEXT NOT NULL,                -- grants, limits and determinism, as text
  user_key TEXT,
  run BLOB NOT NULL,                    -- the run that made the result
  flow BLOB,                            -- the flow run it was part of
  created INTEGER NOT NULL,
  expires INTEGER,
  result BLOB,                          -- the value when it is small,
  result_digest BLOB,                   -- else the name of its blob
  seal INTEGER NOT NULL
);
CREATE INDEX cache_by_task ON cache(component, task, arguments);
CREATE INDEX cache_by_blob ON cache(result_digest) WHERE result_digest IS NOT NULL;
