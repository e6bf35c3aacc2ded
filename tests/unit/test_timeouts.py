"""Many time-outs on one timer, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.virtualtime import run

from probes.timeouts import TimeOuts

if TYPE_CHECKING:
    from support.virtualtime import VirtualLoop


def test_each_ends_in_its_own_time_whatever_the_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        time_outs, begun_s = TimeOuts(loop), loop.time()
        ended: dict[float, float] = {}
        for seconds in (3.0, 1.0, 2.0, 1.5):
            done = loop.create_future()
            done.add_done_callback(lambda _, asked=seconds: ended.update({asked: loop.time() - begun_s}))
            time_outs.add(seconds, done)
        await asyncio.sleep(10.0)
        assert {asked: round(took, 6) for asked, took in ended.items()} == {1.0: 1.0, 1.5: 1.5, 2.0: 2.0, 3.0: 3.0}

    run(main)


def test_answered_ones_are_let_go_and_the_unanswered_between_them_end() -> None:
    async def main(loop: VirtualLoop) -> None:
        time_outs = TimeOuts(loop)
        futures = [loop.create_future() for _ in range(5)]
        for done in futures:
            time_outs.add(1.0, done)
            await asyncio.sleep(0.1)
            if done is not futures[2]:
                done.set_result(None)
        assert not futures[2].done()
        await asyncio.sleep(1.0)
        assert futures[2].done()
        assert not time_outs._waiting

    run(main)


def test_none_ends_after_close() -> None:
    async def main(loop: VirtualLoop) -> None:
        time_outs, done = TimeOuts(loop), loop.create_future()
        time_outs.add(1.0, done)
        time_outs.close()
        await asyncio.sleep(2.0)
        assert not done.done()

    run(main)
