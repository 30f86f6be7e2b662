-- Create shelves and the books that stand on them.
-- migrate:parent base

-- migrate:up
CREATE TABLE shelves (
    id   INTEGER PRIMARY KEY,
    name TEXT
);
CREATE TABLE books (
    id    INTEGER PRIMARY KEY,
    shelf INTEGER NOT NULL REFERENCES shelves (id) ON DELETE CASCADE,
    title TEXT NOT NULL
);
INSERT INTO shelves (id, name) VALUES (1, 'fiction'), (2, 'travel');
INSERT INTO books (shelf, title) VALUES (1, 'Emma'), (1, 'Middlemarch'), (2, 'A Winter''s Walk');

-- migrate:down
DROP TABLE books;
DROP TABLE shelves;

-- migrate:verify
SELECT count(*) = 3 FROM books;
