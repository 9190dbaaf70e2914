\set after random(1, :products)
SELECT p.id, p.price FROM products p WHERE p.id > :after ORDER BY p.id LIMIT 20;
