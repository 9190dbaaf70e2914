\set category random(0, 199)
\set after random(0, :products - :products / 4)
-- @page
SELECT p.id, p.name, p.price FROM products p WHERE p.category = :category AND p.id > :after ORDER BY p.id LIMIT 50;
