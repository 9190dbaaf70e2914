-- The payment service is called before the transaction, the total is spread over rows.
\sleep :payment ms
\set customer random(1, :customers)
\set product random(1, :products)
\set slot random(1, 63)
BEGIN;
SELECT p.id, p.price FROM products p WHERE p.id = :product;
\sleep :trip us
-- @insert
INSERT INTO orders (customer, status, total) VALUES (:customer, 'new', 500) RETURNING id \gset
\sleep :trip us
INSERT INTO order_lines ("order", line, product, quantity, price) VALUES (:id, 1, :product, 1, 500);
\sleep :trip us
UPDATE stock SET quantity = quantity - 1 WHERE product = :product AND warehouse = 1;
\sleep :trip us
INSERT INTO payments ("order", amount) VALUES (:id, 500);
\sleep :trip us
UPDATE sales SET orders = orders + 1, total = total + 500 WHERE slot = :slot;
\sleep :trip us
COMMIT;
