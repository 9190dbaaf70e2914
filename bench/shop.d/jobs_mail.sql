\set customer random(1, :customers)
BEGIN;
SELECT pg_advisory_xact_lock(:customer);
INSERT INTO mails (customer, kind) VALUES (:customer, 'thanks');
UPDATE mails SET sent_at = now() WHERE id IN (SELECT m.id FROM mails m WHERE m.sent_at IS NULL ORDER BY m.id LIMIT 1 FOR UPDATE SKIP LOCKED);
COMMIT;
