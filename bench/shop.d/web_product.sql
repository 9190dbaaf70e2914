\set session random(1, :customers)
\set product random(1, :products)
BEGIN;
SELECT s.customer, s.data FROM sessions s WHERE s.id = :session;
\sleep :trip us
UPDATE sessions SET seen_at = now() WHERE id = :session;
\sleep :trip us
SELECT p.id, p.name, p.description, p.price FROM products p WHERE p.id = :product;
\sleep :trip us
SELECT r.id, r.stars, r.body FROM reviews r WHERE r.product = :product ORDER BY r.created_at DESC LIMIT 10;
\sleep :trip us
SELECT sum(s.quantity) FROM stock s WHERE s.product = :product;
\sleep :trip us
COMMIT;
