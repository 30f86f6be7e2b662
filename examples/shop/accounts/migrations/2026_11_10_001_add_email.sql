-- add email
-- migrate:parent 2026_11_02_001_create_customers

-- migrate:up
ALTER TABLE customers ADD COLUMN email TEXT;

-- migrate:down
ALTER TABLE customers DROP COLUMN email;
