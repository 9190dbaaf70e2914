-- What a table of sums has (admin_sales.sql), from the orders themselves.
\set first random(1, :orders / 2)
-- @report
SELECT c.country, count(DISTINCT o.id), sum(l.quantity * l.price), max(o.created_at) FROM orders o JOIN order_lines l ON l."order" = o.id JOIN customers c ON c.id = o.customer WHERE o.id BETWEEN :first AND :first + :orders / 6 GROUP BY c.country;
