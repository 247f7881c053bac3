"""The balances of an account beside what our entries add up to.

Balances follow trades late, so a difference is believed only when two reads, a minute or more
apart and long after the last movement, saw the same. Trades are searched first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from activities.trades import Recorder
from domain.books import AmendStore, BookStore
from domain.errors import HoldfastError
from domain.fill import Fill
from domain.ports import Clock, Exchange
from domain.reconciliation import (
    COLLATERAL,
    Cash,
    Expected,
    Finding,
    Gap,
    Kind,
    Outcome,
    Section,
    compare_balance,
    expected_collateral,
    halts_entries,
    is_proved,
    is_quiet,
)

log = logging.getLogger(__name__)

READ_AT_ONCE: Final = 8  # balances; the exchange has no call for several

Search = Callable[[list[Fill]], Awaitable[list[Finding]]]


@dataclass(frozen=True, kw_only=True)
class Balances:
    """One comparison of one account's balances."""

    account_id: str
    exchange: Exchange
    books: BookStore
    amends: AmendStore
    recorder: Recorder
    clock: Clock
    halt_above_usd: Decimal
    is_report_only: bool

    async def compared(self, record_lacked: Search) -> Section:
        """Compare every token and the collateral; one that cannot be read is a warning."""
        warnings = await self._prove_fees()
        before = await self.books.gaps(self.account_id)
        expected = await self.books.expected(self.account_id)
        found = await self._read([each.token_id for each in expected], warnings)
        # What moved while we read proves nothing in either direction.
        marks = {one.token_id: one.mark for one in await self.books.expected(self.account_id)}
        findings: list[Finding] = []
        is_heavy = False
        for each in expected:
            if each.token_id in found and marks.get(each.token_id) == each.mark:
                lines, weighs = await self._judge(
                    each, found[each.token_id], before.get(each.token_id), record_lacked
                )
                findings += lines
                is_heavy = is_heavy or weighs
        lines, weighs = await self._compare_collateral(before.get(COLLATERAL), warnings)
        return Section(
            findings=(*findings, *lines), warnings=tuple(warnings), is_heavy=is_heavy or weighs
        )

    async def _prove_fees(self) -> list[str]:
        """Find out what fees were taken in, for else they look like a difference."""
        if self.is_report_only:
            return []
        try:
            await self.recorder.prove_fee_assets()
        except HoldfastError as error:
            log.warning("fee_asset.not_asked", exc_info=error)
            return [f"fees: {error}"]
        return []

    async def _read(self, token_ids: list[str], warnings: list[str]) -> dict[str, Decimal]:
        """Read balances side by side."""
        turns = asyncio.Semaphore(READ_AT_ONCE)
        found: dict[str, Decimal] = {}

        async def read(token_id: str) -> None:
            try:
                async with turns:
                    found[token_id] = await self.exchange.shares(token_id)
            except HoldfastError as error:
                log.warning("balance.not_read", extra={"token_id": token_id}, exc_info=error)
                warnings.append(f"balance of {token_id}: {error}")

        await asyncio.gather(*(read(token_id) for token_id in token_ids))
        return found

    async def _judge(
        self, expected: Expected, balance: Decimal, before: Gap | None, record_lacked: Search
    ) -> tuple[list[Finding], bool]:
        """Return what there is to say of one token, and whether it is too much to trade beside."""
        now = self.clock()
        gap = compare_balance(self.account_id, expected, balance, now)
        if gap is None:
            if before is not None and not self.is_report_only:
                await self.books.forget_gap(self.account_id, expected.token_id)
            return [], False
        if self.is_report_only:
            return [_of_balance(gap, Outcome.REPORTED)], False
        traded = await record_lacked(
            await self.exchange.fills(condition_id=expected.condition_id, after=None)
        )
        marks = {one.token_id: one.mark for one in await self.books.expected(self.account_id)}
        if traded or marks.get(expected.token_id) != expected.mark:
            return traded, False  # a trade came, or was mined while we read
        weighs = halts_entries(gap, expected.price, self.halt_above_usd)
        if is_proved(gap, before, expected.marked_at, now):
            return [await self._adjust(gap, expected, halts=weighs)], False
        return [await self._wait(gap, before)], weighs

    async def _adjust(self, gap: Gap, expected: Expected, *, halts: bool) -> Finding:
        """Close a proved gap by an entry of its own."""
        if not await self.amends.adjust(gap, expected.condition_id, self.clock()):
            return _of_balance(gap, Outcome.WAITING, "something moved meanwhile")
        log.critical(
            "position.adjusted",
            extra={"token_id": gap.token_id, "from": str(gap.expected), "to": str(gap.found)},
        )
        words = "moved outside every trade we know; seen twice, entered as an adjustment"
        return replace(_of_balance(gap, Outcome.ADJUSTED, words), halts=halts)

    async def _wait(self, gap: Gap, before: Gap | None) -> Finding:
        """Have a gap wait for its second read; one seen before keeps the moment of its first."""
        if before is None or not gap.is_same(before):
            await self.books.keep_gap(gap)
            log.warning(
                "balance.differs",
                extra={"token_id": gap.token_id, "ours": str(gap.expected), "is": str(gap.found)},
            )
        return _of_balance(gap, Outcome.WAITING, "read again before it is believed")

    async def _compare_collateral(
        self, before: Gap | None, warnings: list[str]
    ) -> tuple[list[Finding], bool]:
        """Compare the collateral with what it was last agreed to be and what trades moved."""
        cash = await self.books.cash(self.account_id)
        try:
            balance = await self.exchange.collateral_usd()
        except HoldfastError as error:
            log.warning("balance.not_read", extra={"token_id": "collateral"}, exc_info=error)
            warnings.append(f"collateral: {error}")
            return [], False
        after = await self.books.cash(self.account_id)
        if after.mark != cash.mark:
            return [], False
        return await self._judge_collateral(cash, balance, before)

    async def _judge_collateral(
        self, cash: Cash, balance: Decimal, before: Gap | None
    ) -> tuple[list[Finding], bool]:
        """Return what there is to say of the collateral; the first quiet read is the baseline."""
        now, expected = self.clock(), expected_collateral(cash)
        if expected is None:
            if is_quiet(cash.marked_at, now) and not self.is_report_only:
                await self.books.agree(self.account_id, balance, cash.cash_usd)
            return [], False
        gap = compare_balance(self.account_id, expected, balance, now)
        if gap is None:
            if before is not None and not self.is_report_only:
                await self.books.forget_gap(self.account_id, COLLATERAL)
            return [], False
        if self.is_report_only:
            return [_of_balance(gap, Outcome.REPORTED)], False
        weighs = halts_entries(gap, expected.price, self.halt_above_usd)
        if not is_proved(gap, before, expected.marked_at, now):
            return [await self._wait(gap, before)], weighs
        await self.amends.adjust_collateral(gap, cash)
        log.warning("collateral.adjusted", extra={"amount_usd": str(gap.difference)})
        words = "a deposit, or what else no trade explains" if gap.difference > 0 else "withdrawn?"
        return [replace(_of_balance(gap, Outcome.ADJUSTED, words), halts=weighs)], False


def _of_balance(gap: Gap, outcome: Outcome, words: str = "") -> Finding:
    """Return the finding about a balance."""
    is_collateral = gap.token_id == COLLATERAL
    return Finding(
        kind=Kind.COLLATERAL_DIFFERS if is_collateral else Kind.BALANCE_DIFFERS,
        subject="collateral" if is_collateral else gap.token_id,
        token_id=None if is_collateral else gap.token_id,
        ours=f"{gap.expected:f}",
        theirs=f"{gap.found:f}",
        outcome=outcome,
        words=words,
    )
