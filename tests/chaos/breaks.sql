-- One thing wrong in a consistent world, and everything else as if it were right, so that exactly
-- the invariant named can tell. <name> is the hash of the order of the alert of that name.

-- I1: a second order for the same alert
INSERT INTO orders SELECT (jsonb_populate_record(o,
    '{"order_hash": "0xtwin", "intent_id": "twin", "workflow_id": "order-twin"}')).*
FROM orders o WHERE order_hash = '<cancelled>';
INSERT INTO events (at, kind, subject_kind, subject_id, order_hash, signal_id, detail)
SELECT e.at, kind, subject_kind, '0xtwin', '0xtwin', e.signal_id,
    replace(replace(detail::text, '<cancelled>', '0xtwin'), intent_id, 'twin')::jsonb
FROM events e JOIN orders o USING (order_hash)
WHERE order_hash = '<cancelled>' AND subject_kind = 'order' ORDER BY seq;
INSERT INTO px.orders SELECT (jsonb_populate_record(x, '{"order_hash": "0xtwin"}')).*
FROM px.orders x WHERE order_hash = '<cancelled>';
INSERT INTO px.posts SELECT (jsonb_populate_record(x, '{"order_hash": "0xtwin"}')).*
FROM px.posts x WHERE order_hash = '<cancelled>';

-- I1b: an order the engine never wrote down
INSERT INTO px.orders SELECT (jsonb_populate_record(x, '{"order_hash": "0xstranger"}')).*
FROM px.orders x WHERE order_hash = '<cancelled>';

-- I1b: an order signed after it was sent
UPDATE orders SET created_at = created_at + interval '1 hour' WHERE order_hash = '<cancelled>';
UPDATE events SET detail = jsonb_set(detail, '{after,created_at}', to_jsonb(created_at))
FROM orders WHERE events.order_hash = orders.order_hash
    AND orders.order_hash = '<cancelled>' AND kind = 'order.prepared';

-- I1b: an order written down after it was sent
UPDATE events SET at = at + interval '1 hour'
WHERE order_hash = '<cancelled>' AND kind = 'order.prepared';

-- I1b: another size at the exchange than the one wanted
UPDATE px.orders SET size = size + 1 WHERE order_hash = '<cancelled>';

-- I2: a lost fill
DELETE FROM fills WHERE status = 'FAILED';

-- I2: an invented fill
DELETE FROM px.legs WHERE status = 'FAILED';

-- I2: a fee that is not the one taken
UPDATE px.legs SET fee = fee + 0.00001 WHERE status = 'FAILED';

-- I2: a matched share that was not counted
UPDATE px.orders SET filled_size = filled_size + 0.01 WHERE order_hash = '<in-parts>';

-- I3: a failed fill that counts after all
UPDATE fills SET status = 'CONFIRMED' WHERE status = 'FAILED';
UPDATE px.legs SET status = 'CONFIRMED' WHERE status = 'FAILED';

-- I3: a lost lot
DELETE FROM lots;

-- I4: an order that lives and is thought dead
UPDATE px.orders SET status = 'LIVE' WHERE order_hash = '<cancelled>';

-- I4b: an order that is dead and is thought to live
UPDATE px.orders SET status = 'CANCELED' WHERE order_hash = '<rests>';

-- I4b: an order that ended otherwise
UPDATE px.orders SET status = 'MATCHED' WHERE order_hash = '<in-parts>';

-- I7: a millionth of a dollar that moved
UPDATE px.balances SET balance = balance + 0.000001 WHERE moment = 'closing' AND token_id = '';

-- I7: a share that moved
UPDATE px.balances SET balance = balance - 1 WHERE moment = 'closing' AND token_id <> '';

-- I7: a profit that nobody paid
UPDATE positions SET realised_pnl_average = 99;
INSERT INTO events (kind, subject_kind, subject_id, position_id, detail)
SELECT 'position.changed', 'position', id, id, '{"after": {"realised_pnl_average": "99"}}'
FROM positions;

-- I9: a lost alert
DELETE FROM signals WHERE external_id = 'denied';

-- I9: an alert that never comes to an end
UPDATE signals SET status = 'processing' WHERE external_id = 'denied';
INSERT INTO events (kind, subject_kind, subject_id, signal_id, detail)
SELECT 'signal.processing', 'signal', id, id, '{}' FROM signals WHERE external_id = 'denied';

-- I9: a denial without a reason
UPDATE signals SET reason = NULL WHERE external_id = 'denied';

-- I9: an order by an alert that was refused
UPDATE px.sent SET outcome = 'refused' WHERE alert = 'cancelled';

-- I11: an event dropped from an order's story
DELETE FROM events WHERE seq = (
    SELECT max(seq) FROM events WHERE order_hash = '<cancelled>' AND subject_kind = 'order');

-- I11: an event dropped from a position's story
DELETE FROM events WHERE seq = (SELECT max(seq) FROM events WHERE kind = 'fill.recorded');

-- I11: an event dropped from a signal's story
DELETE FROM events WHERE kind = 'signal.denied';

-- I11: a field changed in silence
UPDATE orders SET reason = 'because' WHERE order_hash = '<cancelled>';

-- I12: an order that rose from being filled
INSERT INTO events (kind, subject_kind, subject_id, order_hash, detail) VALUES
    ('order.live', 'order', '<bought>', '<bought>', '{"after": {"state": "LIVE"}}'),
    ('order.filled', 'order', '<bought>', '<bought>', '{"after": {"state": "FILLED"}}');

-- I12: a filled size that fell
INSERT INTO events (kind, subject_kind, subject_id, order_hash, detail) VALUES
    ('order.changed', 'order', '<bought>', '<bought>', '{"after": {"filled_size": "1"}}'),
    ('order.changed', 'order', '<bought>', '<bought>', '{"after": {"filled_size": "20"}}');

-- I12: a trade that was final and moved on
INSERT INTO events (kind, subject_kind, subject_id, order_hash, position_id, detail)
SELECT 'fill.status', 'fill', trade_id, order_hash, id,
    '{"fill": {"status": "FAILED"}, "after": {}}'
FROM fills JOIN positions USING (token_id) WHERE fills.status = 'CONFIRMED';

-- I13: bytes sent once more than counted
INSERT INTO px.posts SELECT 9999, order_hash, now(), status, outcome
FROM px.posts WHERE order_hash = '<cancelled>';

-- I13: bytes sent before they were counted
UPDATE px.posts SET at = at - interval '1 hour' WHERE order_hash = '<cancelled>';

-- I13: an attempt that no event tells of
UPDATE orders SET attempts = 2 WHERE order_hash = '<bought>';
INSERT INTO events (kind, subject_kind, subject_id, order_hash, detail) VALUES
    ('order.changed', 'order', '<bought>', '<bought>', '{"after": {"attempts": 2}}');

-- I17: another body in the inbox than the one sent
UPDATE signals SET raw_payload = raw_payload || ' '::bytea WHERE external_id = 'again';

-- I17: an alert stored after it was answered
UPDATE events SET at = at + interval '1 hour' FROM signals
WHERE signal_id = signals.id AND external_id = 'cancelled' AND kind = 'signal.received';

-- I18: a price off the market's grid
UPDATE orders SET price = 0.4555 WHERE order_hash = '<cancelled>';
UPDATE px.orders SET price = 0.4555 WHERE order_hash = '<cancelled>';
UPDATE events SET detail = jsonb_set(detail, '{after,price}', '"0.4555"')
WHERE order_hash = '<cancelled>' AND kind = 'order.prepared';

-- I18: a size below the market's smallest
UPDATE orders SET size = 4 WHERE order_hash = '<cancelled>';
UPDATE px.orders SET size = 4 WHERE order_hash = '<cancelled>';
UPDATE events SET detail = jsonb_set(detail, '{after,size}', '"4"')
WHERE order_hash = '<cancelled>' AND kind = 'order.prepared';
