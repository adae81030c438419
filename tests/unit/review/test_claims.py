"""A task is held by one at a time, and each holder has a higher fence than the one before."""

from pathlib import Path

import pytest

from palaver.review.claims import Claims, FileClaims, LocalClaims


@pytest.fixture(params=["local", "file"])
def claims(request: pytest.FixtureRequest, tmp_path: Path) -> Claims:
    return LocalClaims() if request.param == "local" else FileClaims(tmp_path / "claims")


async def test_a_task_is_claimed_by_one_at_a_time(claims: Claims) -> None:
    first = await claims.claim("task")
    assert first is not None

    assert await claims.claim("task") is None
    assert await claims.claim("another") is not None
    await first.release()
    assert await claims.claim("task") is not None


async def test_fences_rise(claims: Claims) -> None:
    fences = []
    for _ in range(3):
        claim = await claims.claim("task")
        assert claim is not None
        fences.append(claim.fence)
        await claim.release()

    assert fences == [1, 2, 3]


async def test_a_released_claim_is_no_longer_held_and_releasing_again_takes_nothing_from_the_next(
    claims: Claims,
) -> None:
    first = await claims.claim("task")
    assert first is not None
    await first.release()
    second = await claims.claim("task")
    assert second is not None

    await first.release()

    assert not await first.held()
    assert await second.held()
