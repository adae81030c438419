"""A last-writer-wins element set and a hybrid logical clock."""

from palaver.crdt.clock import HybridLogicalClock
from palaver.crdt.delta import Delta
from palaver.crdt.errors import BehindFloorError, CrdtError, ElementError, MismatchError, StampError, WireError
from palaver.crdt.lww_element_set import LWWElementSet, Statistics, merged
from palaver.crdt.observers import Cursor
from palaver.crdt.order import MAX_STAMP, MIN_STAMP, Bias
from palaver.crdt.wire import decode_delta

__all__ = [
    "MAX_STAMP",
    "MIN_STAMP",
    "BehindFloorError",
    "Bias",
    "CrdtError",
    "Cursor",
    "Delta",
    "ElementError",
    "HybridLogicalClock",
    "LWWElementSet",
    "MismatchError",
    "StampError",
    "Statistics",
    "WireError",
    "decode_delta",
    "merged",
]
