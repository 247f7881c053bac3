"""What must hold between the engine's tables, the exchange's ledger and the sender's log.

Each statement returns the sentences that say where it does not hold; none is the good answer.
Tables without a schema are the engine's, `px.…` is the evidence from outside. Amounts are exact.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Invariant:
    """One rule.

    Attributes:
        id: its name in the fault catalogue.
        promise: what it means to whoever trades.
        sql: the sentences about each breach.
        holds_always: true at every instant; the others once everything has settled.
    """

    id: str
    promise: str
    sql: str
    holds_always: bool


I1: Final = Invariant(
    id="I1",
    promise="one alert is never two orders of the same token",
    holds_always=True,
    sql="""
    SELECT format('signal %s has %s orders of token %s at the exchange', o.signal_id, count(*),
                  left(o.token_id, 8))
    FROM orders o JOIN px.orders x USING (order_hash)
    WHERE x.origin = 'api' AND o.signal_id IS NOT NULL
    GROUP BY o.signal_id, o.account_id, o.token_id HAVING count(*) > 1
    """,
)

I1B: Final = Invariant(
    id="I1b",
    promise="nothing is at the exchange that was not written down, as it is, before it was sent",
    holds_always=True,
    sql="""
    WITH written AS (
        SELECT order_hash, min(at) FILTER (WHERE kind = 'order.prepared') AS prepared_at,
               min(at) FILTER (WHERE kind = 'order.sent') AS sent_at
        FROM events WHERE subject_kind = 'order' GROUP BY 1)
    SELECT format('order %s reached the exchange at %s: %s', x.order_hash, x.first_seen_at,
        CASE WHEN o.order_hash IS NULL THEN 'it was never written down'
             WHEN o.created_at > x.first_seen_at OR w.prepared_at > x.first_seen_at
                 THEN format('it was signed at %s, written at %s', o.created_at, w.prepared_at)
             WHEN w.sent_at IS NULL OR w.sent_at > x.first_seen_at
                 THEN format('its send was counted at %s', w.sent_at)
             ELSE 'as another order than the one written down' END)
    FROM px.orders x LEFT JOIN orders o USING (order_hash) LEFT JOIN written w USING (order_hash)
    WHERE x.origin = 'api' AND (
        o.order_hash IS NULL OR o.created_at > x.first_seen_at
        OR coalesce(w.prepared_at > x.first_seen_at, false)
        OR coalesce(w.sent_at > x.first_seen_at, true)
        OR (o.token_id, o.side, o.price, o.size) <> (x.token_id, x.side, x.price, x.size))
    """,
)

I2: Final = Invariant(
    id="I2",
    promise="every fill of the exchange is recorded, once, as it is, and no other",
    holds_always=False,
    sql="""
    WITH ours AS (
        SELECT trade_id, order_hash, token_id, side, price, size, fee, fee_asset, status
        FROM fills WHERE source <> 'adjustment'),
    theirs AS (
        SELECT trade_id, order_hash, token_id, side, price, size, fee, fee_asset, status
        FROM px.legs)
    SELECT format('only the exchange has %s %s@%s of trade %s, order %s, %s', side, size, price,
                  trade_id, order_hash, status)
    FROM (SELECT * FROM theirs EXCEPT ALL SELECT * FROM ours) missing
    UNION ALL
    SELECT format('only the engine has %s %s@%s of trade %s, order %s, %s', side, size, price,
                  trade_id, order_hash, status)
    FROM (SELECT * FROM ours EXCEPT ALL SELECT * FROM theirs) invented
    UNION ALL
    SELECT format('order %s: %s filled at the exchange, %s recorded', order_hash, x.filled_size,
                  o.filled_size)
    FROM px.orders x JOIN orders o USING (order_hash) WHERE x.filled_size <> o.filled_size
    """,
)

I3: Final = Invariant(
    id="I3",
    promise="a position is the sum of its fills that did not fail",
    holds_always=True,
    sql="""
    WITH counted AS (
        SELECT *, CASE side WHEN 'BUY' THEN 1 ELSE -1 END AS sign,
            CASE fee_asset WHEN 'shares' THEN fee ELSE 0 END AS fee_shares,
            CASE fee_asset WHEN 'shares' THEN 0 ELSE fee END AS fee_usd
        FROM fills WHERE status <> 'FAILED'),
    summed AS (
        SELECT account_id, token_id, sum(sign * size - fee_shares) AS size,
            sum(-sign * price * size - fee_usd) AS cash_usd, sum(fee_usd) AS fees_usd
        FROM counted GROUP BY 1, 2),
    queued AS (SELECT position_id AS id, sum(size) AS size FROM lots GROUP BY 1)
    SELECT format('position %s of token %s: %s shares, $%s, $%s fees; its fills come to %s, $%s, '
                  '$%s; its lots to %s', p.id, left(token_id, 8), p.size, p.cash_usd, p.fees_usd,
                  s.size, s.cash_usd, s.fees_usd, q.size)
    FROM positions p FULL JOIN summed s USING (account_id, token_id) LEFT JOIN queued q USING (id)
    WHERE (coalesce(p.size, 0), coalesce(p.cash_usd, 0), coalesce(p.fees_usd, 0))
        <> (coalesce(s.size, 0), coalesce(s.cash_usd, 0), coalesce(s.fees_usd, 0))
        OR coalesce(p.size, 0) <> coalesce(q.size, 0)
    """,
)

I4: Final = Invariant(
    id="I4",
    promise="an order that lives at the exchange is known to live",
    holds_always=False,
    sql="""
    SELECT format('order %s is %s at the exchange since %s and %s here', x.order_hash, x.status,
                  x.first_seen_at, coalesce(o.state, 'unheard of'))
    FROM px.orders x LEFT JOIN orders o USING (order_hash)
    WHERE x.origin = 'api' AND x.status IN ('LIVE', 'DELAYED')
        AND coalesce(o.state, '') NOT IN ('LIVE', 'PARTIAL', 'DELAYED')
    """,
)

I4B: Final = Invariant(
    id="I4b",
    promise="an order that is over at the exchange is over, and ended as it did there",
    holds_always=False,
    sql="""
    SELECT format('order %s is %s here and %s at the exchange', o.order_hash, o.state,
                  coalesce(x.status, 'unheard of'))
    FROM orders o LEFT JOIN px.orders x USING (order_hash)
    WHERE coalesce(x.status, '') NOT IN ('LIVE', 'DELAYED') AND NOT CASE x.status
        WHEN 'MATCHED' THEN o.state = 'FILLED'
        WHEN 'CANCELED' THEN o.state IN ('CANCELLED', 'EXPIRED')
            OR o.state = 'FILLED' AND o.size - x.filled_size <= 0.01
        ELSE o.state IN ('NEW', 'REJECTED', 'ABANDONED', 'CANCELLED') END
    """,
)

I7: Final = Invariant(
    id="I7",
    promise="the money and the shares that moved are the ones on the books",
    holds_always=False,
    sql="""
    WITH books AS (
        SELECT '' AS token_id, coalesce(sum(cash_usd), 0) AS moved FROM positions
        UNION ALL SELECT token_id, size FROM positions),
    wallet AS (
        SELECT token_id, sum(CASE moment WHEN 'closing' THEN balance ELSE -balance END) AS moved
        FROM px.balances GROUP BY 1)
    SELECT format('%s moved by %s at the exchange, by %s on the books',
                  CASE token_id WHEN '' THEN 'collateral' ELSE left(token_id, 8) END,
                  coalesce(w.moved, 0), coalesce(b.moved, 0))
    FROM books b FULL JOIN wallet w USING (token_id)
    WHERE coalesce(w.moved, 0) <> coalesce(b.moved, 0)
    UNION ALL
    SELECT format('position %s: cash, cost, fees and profit do not add up by %s', id,
                  cash_usd + cost_usd + fees_usd - realised_pnl_average)
    FROM positions WHERE cash_usd + cost_usd + fees_usd <> realised_pnl_average
    """,
)

I9: Final = Invariant(
    id="I9",
    promise="an alert that was accepted is in the inbox and comes to an end that says why",
    holds_always=False,
    sql="""
    SELECT format('alert %s was answered %s as signal %s, which is not in the inbox', s.alert,
                  s.status, s.signal_id)
    FROM px.sent s LEFT JOIN signals i ON i.id = s.signal_id
    WHERE s.outcome = 'ok' AND i.id IS NULL
    UNION ALL
    SELECT format('signal %s is %s, reason %s', id, status, coalesce(reason, 'none'))
    FROM signals WHERE status NOT IN ('processed', 'denied', 'expired', 'error')
        OR (status <> 'processed' AND reason IS NULL)
    UNION ALL
    SELECT format('alert %s was refused with %s and yet is order %s', s.alert, s.status,
                  o.order_hash)
    FROM px.sent s JOIN signals i ON i.raw_payload = s.body JOIN orders o ON o.signal_id = i.id
    WHERE s.outcome = 'refused'
        AND NOT EXISTS (SELECT FROM px.sent other WHERE other.body = s.body AND outcome = 'ok')
    """,
)

I11: Final = Invariant(
    id="I11",
    promise="the audit trail, replayed, rebuilds every order, position and signal",
    holds_always=True,
    sql="""
    WITH told_orders AS (
        SELECT order_hash, to_jsonb(jsonb_populate_record(NULL::orders,
            px.folded(detail->'after' ORDER BY seq))) - '{signed_order,updated_at}'::text[] AS row
        FROM events WHERE subject_kind = 'order' AND detail->'after' IS NOT NULL GROUP BY 1),
    kept_orders AS (
        SELECT order_hash, to_jsonb(o) - '{signed_order,updated_at}'::text[] AS row FROM orders o),
    told_positions AS (
        SELECT position_id AS id, px.folded(detail->'after' ORDER BY seq) AS row
        FROM events WHERE subject_kind IN ('fill', 'position')
            AND kind NOT LIKE 'protection.%' AND kind <> 'position.planned' GROUP BY 1),
    kept_positions AS (
        SELECT id, jsonb_build_object('status', status, 'size', size, 'cost_usd', cost_usd,
            'average_price', average_price, 'cash_usd', cash_usd, 'fees_usd', fees_usd,
            'realised_pnl_average', realised_pnl_average, 'realised_pnl_fifo', realised_pnl_fifo,
            'lots_opened', lots_opened) AS row
        FROM positions),
    typed_positions AS (
        SELECT id, (SELECT jsonb_build_object('status', t.status, 'size', t.size,
            'cost_usd', t.cost_usd, 'average_price', t.average_price, 'cash_usd', t.cash_usd,
            'fees_usd', t.fees_usd, 'realised_pnl_average', t.realised_pnl_average,
            'realised_pnl_fifo', t.realised_pnl_fifo, 'lots_opened', t.lots_opened)
            FROM jsonb_populate_record(NULL::positions, '{"status": "flat", "size": 0,
                "cost_usd": 0, "average_price": 0, "cash_usd": 0, "fees_usd": 0,
                "realised_pnl_average": 0, "realised_pnl_fifo": 0, "lots_opened": 0}'::jsonb
                || told_positions.row) t) AS row
        FROM told_positions),
    told_signals AS (
        SELECT DISTINCT ON (signal_id) signal_id AS id, substr(kind, 8) AS status FROM events
        WHERE subject_kind = 'signal' AND kind <> 'signal.understood'
        ORDER BY signal_id, seq DESC)
    SELECT format('order %s is %s; its events say %s', order_hash, k.row, t.row)
    FROM kept_orders k FULL JOIN told_orders t USING (order_hash) WHERE k.row IS DISTINCT FROM t.row
    UNION ALL
    SELECT format('position %s is %s; its events say %s', id, k.row, t.row)
    FROM kept_positions k FULL JOIN typed_positions t USING (id)
    WHERE k.row IS DISTINCT FROM t.row
    UNION ALL
    SELECT format('signal %s is %s; its events say %s', id, k.status, t.status)
    FROM signals k LEFT JOIN told_signals t USING (id) WHERE k.status IS DISTINCT FROM t.status
        AND NOT k.is_unproven  -- a stranger leaves no event: those cannot be removed
    """,
)

I12: Final = Invariant(
    id="I12",
    promise="states move forward only: along the order's table, up the trade's ranks",
    holds_always=True,
    sql="""
    WITH steps AS (
        SELECT order_hash, seq, kind, detail->'after'->>'state' AS state,
            lag(detail->'after'->>'state') OVER (PARTITION BY order_hash ORDER BY seq) AS before
        FROM events WHERE subject_kind = 'order' AND detail->'after'->>'state' IS NOT NULL),
    filled AS (
        SELECT order_hash, seq, (detail->'after'->>'filled_size')::numeric AS size,
            lag((detail->'after'->>'filled_size')::numeric)
                OVER (PARTITION BY order_hash ORDER BY seq) AS before
        FROM events WHERE subject_kind = 'order' AND detail->'after'->>'filled_size' IS NOT NULL),
    ranks(status, rank) AS (VALUES ('MATCHED', 0), ('RETRYING', 1), ('MINED', 2),
        ('CONFIRMED', 3), ('FAILED', 4)),
    trades AS (
        SELECT subject_id, order_hash, detail->'fill'->>'status' AS status,
            lag(detail->'fill'->>'status')
                OVER (PARTITION BY subject_id, order_hash ORDER BY seq) AS before
        FROM events WHERE subject_kind = 'fill')
    SELECT format('order %s went from %s to %s', order_hash, coalesce(before, 'nothing'), state)
    FROM steps s WHERE coalesce(before, state) <> state AND NOT EXISTS (
        SELECT FROM px.edges e WHERE e.before = s.before AND e.after = s.state)
        OR before IS NULL AND state <> 'NEW' AND kind <> 'order.adopted'
    UNION ALL
    SELECT format('order %s: filled %s after %s', order_hash, size, before)
    FROM filled WHERE size < before
    UNION ALL
    SELECT format('trade %s of order %s went from %s to %s', subject_id, order_hash, before,
                  a.status)
    FROM trades JOIN ranks a USING (status) JOIN ranks b ON b.status = before
    WHERE b.rank >= a.rank OR before = 'CONFIRMED'
    """,
)

I13: Final = Invariant(
    id="I13",
    promise="no bytes leave without a send that was counted and allowed first",
    holds_always=True,
    sql="""
    WITH posts AS (
        SELECT order_hash, at, row_number() OVER (PARTITION BY order_hash ORDER BY n) AS n
        FROM px.posts),
    sends AS (
        SELECT order_hash, at, (detail->>'attempt')::int AS attempt,
            detail->'after'->>'state' AS state,
            row_number() OVER (PARTITION BY order_hash ORDER BY seq) AS n
        FROM events WHERE kind = 'order.sent')
    SELECT format('order %s: send %s reached the exchange at %s and was counted at %s', order_hash,
                  n, p.at, coalesce(s.at::text, 'no time'))
    FROM posts p LEFT JOIN sends s USING (order_hash, n) WHERE s.at IS NULL OR p.at < s.at
    UNION ALL
    SELECT format('order %s: send %s is the %s. counted, in state %s', order_hash, attempt, n,
                  state)
    FROM sends WHERE attempt <> n OR state NOT IN ('SENT', 'UNKNOWN')
    UNION ALL
    SELECT format('order %s: %s attempts, %s counted', order_hash, o.attempts, count(s.n))
    FROM orders o LEFT JOIN sends s USING (order_hash)
    GROUP BY order_hash, o.attempts HAVING o.attempts <> count(s.n)
    """,
)

I17: Final = Invariant(
    id="I17",
    promise="what was answered was on disk by then, byte for byte as it was sent",
    holds_always=True,
    sql="""
    WITH stored AS (
        SELECT signal_id, min(at) AS at FROM events
        WHERE kind IN ('signal.received', 'signal.error') GROUP BY 1)
    SELECT format('alert %s was answered at %s as signal %s: stored at %s, %s bytes of %s', s.alert,
                  s.answered_at, i.id, e.at, length(i.raw_payload), length(s.body))
    FROM px.sent s JOIN signals i ON i.id = s.signal_id LEFT JOIN stored e USING (signal_id)
    WHERE s.outcome = 'ok'
        AND (i.raw_payload <> s.body OR coalesce(e.at > s.answered_at, true))
    """,
)

I18: Final = Invariant(
    id="I18",
    promise="what is sent is a price on the market's grid and a size it takes",
    holds_always=True,
    sql="""
    SELECT format('order %s: %s %s@%s where the tick is %s and the smallest size %s', order_hash,
                  o.time_in_force, o.size, o.price, m.tick_size, m.min_size)
    FROM orders o JOIN px.markets m USING (token_id)
    WHERE o.attempts > 0 AND (
        o.price <= 0 OR o.price >= 1 OR mod(o.price, m.tick_size) <> 0 OR o.size <= 0
        OR mod(o.size, CASE WHEN o.side = 'BUY' AND o.time_in_force IN ('FAK', 'FOK')
                            THEN 0.0001 ELSE 0.01 END) <> 0
        OR o.time_in_force IN ('GTC', 'GTD') AND o.size < m.min_size)
    """,
)

INVARIANTS: Final = (I1, I1B, I2, I3, I4, I4B, I7, I9, I11, I12, I13, I17, I18)

# What still has to happen before everything has settled; liveness, so asked after the faults end.
UNSETTLED: Final = """
    SELECT format('signal %s is %s: %s', id, status, action)
    FROM signals WHERE status IN ('received', 'processing')
    UNION ALL
    SELECT format('order %s is %s', order_hash, state)
    FROM orders WHERE state IN ('NEW', 'SENT', 'UNKNOWN', 'DELAYED')
    UNION ALL
    SELECT format('order %s is %s here and %s at the exchange', order_hash, o.state, x.status)
    FROM orders o JOIN px.orders x USING (order_hash)
    WHERE (o.state IN ('LIVE', 'PARTIAL')) <> (x.status = 'LIVE')
    UNION ALL
    SELECT format('trade %s is %s here', trade_id, status)
    FROM fills WHERE status NOT IN ('CONFIRMED', 'FAILED')
    UNION ALL
    SELECT format('trade %s is %s at the exchange, %s here', trade_id, l.status,
                  coalesce(f.status, 'unheard of'))
    FROM px.legs l LEFT JOIN fills f USING (trade_id, order_hash)
    WHERE l.status NOT IN ('CONFIRMED', 'FAILED') OR f.status IS DISTINCT FROM l.status
"""
