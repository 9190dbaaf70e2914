\set customer random(1, :customers)
\set product random(1, :products)
BEGIN;
SELECT p.id, p.name, p.price FROM products p WHERE p.id = :product;
\sleep :trip us
INSERT INTO cart_lines (customer, product, quantity) VALUES (:customer, :product, 1) ON CONFLICT (customer, product) DO UPDATE SET quantity = cart_lines.quantity + 1;
\sleep :trip us
UPDATE carts SET updated_at = now() WHERE customer = :customer;
\sleep :trip us
COMMIT;
