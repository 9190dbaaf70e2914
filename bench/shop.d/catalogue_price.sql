\set product random(1, :products)
UPDATE products SET price = 100 + (price + 1) % 9900, updated_at = now() WHERE id = :product;
