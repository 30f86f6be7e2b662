-- create products
-- migrate:parent base

-- migrate:up
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price >= 0)
);
CREATE UNIQUE INDEX products_name ON products (name);

-- migrate:down
DROP TABLE products;
