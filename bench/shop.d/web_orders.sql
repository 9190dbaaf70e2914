\set session random(1, :customers)
\set customer random(1, :orders / 20)
BEGIN;
UPDATE sessions SET seen_at = now() WHERE id = :session;
\sleep :trip us
-- @orders
SELECT o.id, o.status, o.total, l.line, l.product, l.quantity, l.price FROM orders o JOIN order_lines l ON l."order" = o.id WHERE o.customer = :customer ORDER BY o.id, l.line LIMIT 60;
\sleep :trip us
COMMIT;
