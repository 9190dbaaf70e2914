-- The shop's tables and rows, the same each time.  At scale 1 about 400 MB with indexes.
--   :customers :products :orders
CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL, name text NOT NULL,
	country char(2) NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE categories (id int PRIMARY KEY, parent int NOT NULL, name text NOT NULL,
	"position" int NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, category int NOT NULL, department int NOT NULL,
	name text NOT NULL, description text NOT NULL, price int NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE stock (product int, warehouse int, quantity int NOT NULL,
	PRIMARY KEY (product, warehouse));
CREATE TABLE offers (id int PRIMARY KEY, product int NOT NULL, discount int NOT NULL);
CREATE TABLE reviews (id int PRIMARY KEY, product int NOT NULL, customer int NOT NULL,
	stars int NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE sessions (id int PRIMARY KEY, customer int, data jsonb NOT NULL,
	seen_at timestamptz NOT NULL) WITH (fillfactor = 70);
CREATE TABLE carts (customer int PRIMARY KEY, updated_at timestamptz NOT NULL)
	WITH (fillfactor = 70);
CREATE TABLE cart_lines (customer int, product int, quantity int NOT NULL,
	PRIMARY KEY (customer, product));
CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL, status text NOT NULL,
	tracking bigint, total int NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_lines ("order" int, line int, product int NOT NULL, quantity int NOT NULL,
	price int NOT NULL, PRIMARY KEY ("order", line));
CREATE TABLE payments (id bigserial PRIMARY KEY, "order" int NOT NULL, amount int NOT NULL,
	paid_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE sales (slot int PRIMARY KEY, orders bigint NOT NULL, total bigint NOT NULL)
	WITH (fillfactor = 10);
CREATE TABLE mails (id serial PRIMARY KEY, customer int NOT NULL, kind text NOT NULL,
	sent_at timestamptz) WITH (fillfactor = 70);

INSERT INTO customers SELECT g, 'customer' || g || '@example.com', 'Customer ' || g,
	substr('DEFRITESPLNLATBE', 1 + 2 * (g % 8), 2), timestamptz '2020-01-01' + g * interval '1 min'
	FROM generate_series(1, :customers) g;
INSERT INTO categories SELECT g, g % 20, 'Category ' || g, g / 20 FROM generate_series(0, 199) g;
INSERT INTO products SELECT g, g % 200, g % 20, 'Product ' || g,
	repeat('All there is to say about product ' || g || '. ', 5), 100 + (g * 7919::bigint) % 9900
	FROM generate_series(1, :products) g;
INSERT INTO stock SELECT g, w, 1000000 FROM generate_series(1, :products) g, generate_series(1, 2) w;
INSERT INTO offers SELECT g, 1 + (g * 7907::bigint) % :products, 5 + g % 50
	FROM generate_series(1, 250) g;
INSERT INTO reviews SELECT g, 1 + (g * 7901::bigint) % :products, 1 + (g * 7883::bigint) % :customers,
	1 + g % 5, repeat('What customers say of it. ', 4 + g % 5), timestamptz '2022-01-01' + g * interval '5 min'
	FROM generate_series(1, :orders * 3 / 4) g;
INSERT INTO sessions SELECT g, g, jsonb_build_object('language', 'de', 'theme', g % 7, 'seen',
	jsonb_build_array(g, g + 1, g + 2)), timestamptz '2024-01-01' FROM generate_series(1, :customers) g;
INSERT INTO carts SELECT g, timestamptz '2024-01-01' FROM generate_series(1, :customers) g;
INSERT INTO cart_lines SELECT 1 + g % :customers, 1 + (g * 7877::bigint) % :products, 1
	FROM generate_series(1, :customers * 2) g ON CONFLICT DO NOTHING;
-- Twenty of each customer's who has any.
INSERT INTO orders SELECT g, 1 + g % (:orders / 20), 'sent', g * 7873::bigint,
	1000 + g % 5000, timestamptz '2022-01-01' + g * interval '2 min' FROM generate_series(1, :orders) g;
SELECT setval('orders_id_seq', :orders);
INSERT INTO order_lines SELECT g, l, 1 + (g * 7867::bigint + l * 13) % :products, l, 500
	FROM generate_series(1, :orders) g, generate_series(1, 3) l;
INSERT INTO sales SELECT g, 0, 0 FROM generate_series(0, 63) g;
INSERT INTO mails (customer, kind) SELECT 1 + g % :customers, 'newsletter'
	FROM generate_series(1, :customers / 5) g;

CREATE INDEX products_category ON products (category, id);
CREATE INDEX products_department ON products (department, price);
CREATE INDEX reviews_product ON reviews (product, created_at);
CREATE INDEX orders_customer ON orders (customer, id);
CREATE INDEX orders_tracking ON orders (tracking);
CREATE INDEX mails_unsent ON mails (id) WHERE sent_at IS NULL;

GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
