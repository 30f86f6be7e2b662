-- Let no two users have the same name.
-- migrate:parent 2025_02_20_001_add_priority

-- migrate:up
CREATE UNIQUE INDEX users_name ON users (name);

-- migrate:down
DROP INDEX users_name;
