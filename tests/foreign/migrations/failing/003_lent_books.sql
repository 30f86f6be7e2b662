-- Remember who has a book. The second statement fails, and what the first one did must go.
-- migrate:parent 002_named_shelves

-- migrate:up
ALTER TABLE books ADD COLUMN lent_to TEXT;
UPDATE books SET lent_to 'nobody' WHERE lent_to IS NULL;

-- migrate:down
ALTER TABLE books DROP COLUMN lent_to;
