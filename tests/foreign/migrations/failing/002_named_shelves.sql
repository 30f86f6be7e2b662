-- Let no shelf be without a name. The table is built anew; its books must stay.
-- migrate:parent 001_shelves

-- migrate:up
CREATE TABLE new_shelves (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
INSERT INTO new_shelves SELECT id, coalesce(name, '') FROM shelves;
DROP TABLE shelves;
ALTER TABLE new_shelves RENAME TO shelves;

-- migrate:down
CREATE TABLE old_shelves (
    id   INTEGER PRIMARY KEY,
    name TEXT
);
INSERT INTO old_shelves SELECT id, name FROM shelves;
DROP TABLE shelves;
ALTER TABLE old_shelves RENAME TO shelves;
