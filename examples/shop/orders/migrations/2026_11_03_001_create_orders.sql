-- create orders
-- migrate:parent base
-- migrate:depends accounts/2026_11_02_001_create_customers
-- migrate:depends catalog/2026_11_02_001_create_products

-- migrate:up
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity > 0)
);
CREATE INDEX orders_customer_id ON orders (customer_id);
CREATE INDEX orders_product_id ON orders (product_id);

-- migrate:down
DROP TABLE orders;
