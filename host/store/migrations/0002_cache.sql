-- Results that later runs of the same call may use again.
CREATE TABLE cache (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they were made
  key BLOB NOT NULL UNIQUE,             -- 32 bytes of BLAKE3 over component up to user_key
  component BLOB NOT NULL,
  task TEXT NOT NULL,
  arguments BLOB NOT NULL,              -- 32 bytes of BLAKE3 over the canonical arguments
  profile TEXT NOT NULL,                -- what results depend on besides: how guests are run
  user_key TEXT,                        -- the author's own part
  kept_arguments BLOB,                  -- the canonical arguments themselves, when they are small
  run BLOB NOT NULL,                    -- the run that made the result
  flow BLOB,                            -- the flow run it was part of
  created INTEGER NOT NULL,
  expires INTEGER,
  result BLOB,                          -- the value when it is small,
  result_digest BLOB,                   -- else the name of its blob
  bytes INTEGER NOT NULL,               -- what the entry takes: of its value and its arguments
  seal INTEGER NOT NULL
);
CREATE INDEX cache_by_task ON cache(task);
CREATE INDEX cache_by_component ON cache(component, task);
CREATE INDEX cache_by_arguments ON cache(arguments);
CREATE INDEX cache_by_expiry ON cache(expires) WHERE expires IS NOT NULL;
CREATE INDEX cache_by_blob ON cache(result_digest) WHERE result_digest IS NOT NULL;

-- What there is in all, so that nobody has to count it before each new entry.
CREATE TABLE cache_totals (
  entries INTEGER NOT NULL,
  bytes INTEGER NOT NULL
);
INSERT INTO cache_totals VALUES (0, 0);
CREATE TRIGGER cache_grows AFTER INSERT ON cache
BEGIN
  UPDATE cache_totals SET entries = entries + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER cache_shrinks AFTER DELETE ON cache
BEGIN
  UPDATE cache_totals SET entries = entries - 1, bytes = bytes - OLD.bytes;
END;
