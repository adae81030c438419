"""The message log: where messages, the fate of sends and moderators' decisions are kept.

`port` says what every log does. `memory` forgets at exit; `sqlite` is the default and answers when all is on disk.

For `sqlite`: `opening` decides whether a directory may be used, `writer` lives through failures, `transaction` is one
batch of jobs, `journal` has the newest messages, `folding` writes them to the tables later, `sends` knows where older
sends are, `sweeping` removes what is too old, `backup` copies a store. Shared:
`retention` is the arithmetic of what is kept, `statistics` what a log can tell about itself, `errors` what can go wrong
at a start. A log shared by several nodes has its place beside these two; the contract's tests take one more kind.
"""

from palaver.server.log.backup import back_up
from palaver.server.log.errors import (
    CorruptStoreError,
    ForeignStoreError,
    LogClosedError,
    LogError,
    NewerStoreError,
    StoreInUseError,
    StoreUnusableError,
)
from palaver.server.log.memory import MemoryLog
from palaver.server.log.port import OVERLOADED, Log, OnResults
from palaver.server.log.retention import Retention
from palaver.server.log.sqlite import SqliteLog
from palaver.server.log.statistics import Histogram, LogStatistics

__all__ = [
    "OVERLOADED",
    "CorruptStoreError",
    "ForeignStoreError",
    "Histogram",
    "Log",
    "LogClosedError",
    "LogError",
    "LogStatistics",
    "MemoryLog",
    "NewerStoreError",
    "OnResults",
    "Retention",
    "SqliteLog",
    "StoreInUseError",
    "StoreUnusableError",
    "back_up",
]
