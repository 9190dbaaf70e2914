\set session random(1, :customers)
\set department random(0, 19)
BEGIN;
SELECT s.customer, s.data FROM sessions s WHERE s.id = :session;
\sleep :trip us
UPDATE sessions SET seen_at = now() WHERE id = :session;
\sleep :trip us
SELECT c.id, c.name FROM categories c WHERE c.parent = :department ORDER BY c."position";
\sleep :trip us
COMMIT;
