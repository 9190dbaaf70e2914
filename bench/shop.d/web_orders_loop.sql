-- The list, and then the lines of each order, as a mapper does that loads them when they are used.
\set session random(1, :customers)
\set customer random(1, :orders / 20)
BEGIN;
UPDATE sessions SET seen_at = now() WHERE id = :session;
\sleep :trip us
-- @list
SELECT o.id, o.status, o.total FROM orders o WHERE o.customer = :customer ORDER BY o.id LIMIT 20;
\sleep :trip us
-- @lines
\set order :customer - 1 + 0 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 1 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 2 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 3 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 4 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 5 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 6 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 7 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 8 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 9 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 10 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 11 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 12 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 13 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 14 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 15 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 16 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 17 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 18 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
\set order :customer - 1 + 19 * (:orders / 20)
SELECT l.line, l.product, l.quantity, l.price FROM order_lines l WHERE l."order" = :order ORDER BY l.line;
\sleep :trip us
COMMIT;
