-- Nothing is written; a clean shop sends it to its standby.
\set product random(1, :products)
\set category random(0, 199)
BEGIN;
SELECT p.id, p.name, p.description, p.price FROM products p WHERE p.id = :product;
\sleep :trip us
SELECT s.warehouse, s.quantity FROM stock s WHERE s.product = :product;
\sleep :trip us
SELECT r.stars, r.body FROM reviews r WHERE r.product = :product ORDER BY r.created_at DESC LIMIT 5;
\sleep :trip us
SELECT p.id, p.name FROM products p WHERE p.category = :category AND p.id > :product ORDER BY p.id LIMIT 6;
\sleep :trip us
COMMIT;
