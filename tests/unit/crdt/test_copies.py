"""Every way to copy a set."""

import copy
import pickle
from collections.abc import Callable

import pytest

from palaver.crdt import (
    LWWElementSet,
)
from tests.unit.crdt.replicas import replica

pytestmark = pytest.mark.usefixtures("joining")


def test_a_copy_is_independent() -> None:
    one = replica()
    one.add("ada")
    twin = one.copy()

    twin.remove("ada")

    assert "ada" in one
    assert "ada" not in twin
    assert len(one) == 1
    assert len(twin) == 0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda members: pickle.loads(pickle.dumps(members))])
def test_every_way_to_copy_gives_an_independent_set(
    duplicate: Callable[[LWWElementSet[str]], LWWElementSet[str]],
) -> None:
    members: LWWElementSet[str] = LWWElementSet(["ada", "bob"])
    members.remove("bob")

    twin = duplicate(members)
    twin.add("cy")

    assert set(twin) == {"ada", "cy"}
    assert set(members) == {"ada"}
    assert twin.lookup("cy")
    assert not members.lookup("cy")
    assert twin.tombstones() == members.tombstones()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda members: pickle.loads(pickle.dumps(members))])
def test_a_duplicate_keeps_neither_those_who_watch_nor_the_log(
    duplicate: Callable[[LWWElementSet[str]], LWWElementSet[str]],
) -> None:
    members: LWWElementSet[str] = LWWElementSet(["ada"])
    seen: list[frozenset[str]] = []
    members.subscribe(lambda added, removed: seen.append(added))
    cursor = members.cursor()
    members.keep_provenance()
    members.digest()

    twin = duplicate(members)
    twin.add("bob")

    assert not seen
    assert twin.delta_since(cursor).added() == {"ada", "bob"}
    assert twin.digest() == twin.copy().digest()
