-- create customers
-- migrate:parent base

-- migrate:up
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE UNIQUE INDEX customers_name ON customers (name);

-- migrate:down
DROP TABLE customers;
