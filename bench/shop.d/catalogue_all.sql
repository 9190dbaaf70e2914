\set department random(0, 19)
\set least random(100, 2000)
-- @all
SELECT p.id, p.name, p.description, p.price FROM products p WHERE p.department = :department AND p.price >= :least ORDER BY p.price;
