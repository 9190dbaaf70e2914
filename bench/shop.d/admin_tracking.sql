\set tracking random(1, :orders) * 7873
-- @tracking
SELECT o.id, o.status, o.customer FROM orders o WHERE o.tracking = :tracking;
