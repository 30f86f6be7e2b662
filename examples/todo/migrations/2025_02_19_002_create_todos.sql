-- Create the todos, each with the user it belongs to.
-- migrate:parent 2025_02_19_001_create_users

-- migrate:up
CREATE TABLE todos (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX todos_user_id ON todos (user_id);

-- migrate:down
DROP INDEX todos_user_id;
DROP TABLE todos;
