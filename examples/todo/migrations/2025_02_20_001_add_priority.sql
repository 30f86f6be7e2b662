-- Give every todo a priority, from 0 to 9.
-- migrate:parent 2025_02_19_002_create_todos

-- migrate:up
ALTER TABLE todos ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

-- migrate:down
ALTER TABLE todos DROP COLUMN priority;

-- migrate:verify
SELECT count(*) = 0 FROM todos WHERE priority NOT BETWEEN 0 AND 9;
