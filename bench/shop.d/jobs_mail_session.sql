-- State that lasts beyond the transaction.
\set customer random(1, :customers)
SET work_mem = '8MB';
LISTEN mails;
CREATE TEMP TABLE IF NOT EXISTS batch (id int);
SELECT pg_advisory_lock(:customer);
BEGIN;
INSERT INTO mails (customer, kind) VALUES (:customer, 'thanks');
UPDATE mails SET sent_at = now() WHERE id IN (SELECT m.id FROM mails m WHERE m.sent_at IS NULL ORDER BY m.id LIMIT 1 FOR UPDATE SKIP LOCKED);
COMMIT;
SELECT pg_advisory_unlock(:customer);
