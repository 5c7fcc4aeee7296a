"""A slice of the replay of random operations; see `replay`."""

import asyncio

import pytest
import replay


@pytest.mark.parametrize("seed", range(3))
def test_both_dialects_agree_with_the_model(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(replay, "COMPARED_EACH", 200)
    monkeypatch.setattr(replay, "REOPENED_EACH", 300)
    assert asyncio.run(replay.replay(str(tmp_path), seed, 1_500)).done >= 1_500


def test_a_lost_object_is_noticed(tmp_path):
    """Else the agreement above would prove nothing."""

    async def main():
        run = replay.Replay(str(tmp_path), 1)
        await run.begin()
        await run.run(100)
        bucket = run.doors.store
        container = await bucket.get_container(replay.PROJECT, replay.PLAIN)
        bucket.writer.execute("UPDATE objects SET etag = 'wrong' WHERE container_id = ?", (container.id,))
        with pytest.raises(replay.Mismatch):
            await run.compare()
        await run.doors.close()

    asyncio.run(main())
