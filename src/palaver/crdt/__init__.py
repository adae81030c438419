"""A last-writer-wins element set and a hybrid logical clock."""

from palaver.crdt.clock import HybridLogicalClock
from palaver.crdt.delta import Delta
from palaver.crdt.digest import Digest
from palaver.crdt.errors import BehindFloorError, CrdtError, ElementError, MismatchError, StampError, WireError
from palaver.crdt.explanation import Explanation
from palaver.crdt.lww_element_set import LWWElementSet, merged
from palaver.crdt.observers import Cursor, Subscription
from palaver.crdt.order import MAX_STAMP, MIN_STAMP, Bias
from palaver.crdt.replica import COMPILED, Statistics
from palaver.crdt.roster import Report, Roster
from palaver.crdt.wire import decode_delta

__all__ = [
    "COMPILED",
    "MAX_STAMP",
    "MIN_STAMP",
    "BehindFloorError",
    "Bias",
    "CrdtError",
    "Cursor",
    "Delta",
    "Digest",
    "ElementError",
    "Explanation",
    "HybridLogicalClock",
    "LWWElementSet",
    "MismatchError",
    "Report",
    "Roster",
    "StampError",
    "Statistics",
    "Subscription",
    "WireError",
    "decode_delta",
    "merged",
]
