"""What PostgreSQL's errors mean in our tree, and what to do about each.

Source: the table of error codes in PostgreSQL's manual, appendix A.
"""

import psycopg

from eventstore.errors import (
    LogError,
    SchemaMismatch,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnsuitable,
)

ERROR = psycopg.Error

_GONE = "the server ended the connection or could not be reached; it is tried again by itself"
_MEANING: dict[str, tuple[type[StorageError], str]] = {
    "08": (StorageUnreachable, _GONE),
    "22": (StorageError, "a value cannot be kept by PostgreSQL"),
    "23": (StorageError, "a row does not fit the others"),
    "25006": (
        StorageReadOnly,
        (
            "the server only reads (a standby?); name the primary, e.g. by"
            " target_session_attrs=read-write"
        ),
    ),
    "25P": (
        StorageBusy,
        (
            "the server ended a transaction that took too long"
            " (idle_in_transaction_session_timeout, transaction_timeout?)"
        ),
    ),
    "28": (StorageUnsuitable, "the server does not let this user in; check user and password"),
    "3D000": (StorageUnsuitable, "there is no such database; create it first (`createdb`)"),
    "3F000": (StorageUnsuitable, "there is no such schema"),
    "40": (StorageBusy, "other transactions were in the way all the time; try again"),
    "42501": (
        StorageReadOnly,
        (
            "the rights are missing; the user needs CREATE on the database once, or a schema of"
            " the log's name that it owns"
        ),
    ),
    "42": (
        SchemaMismatch,
        "the log's tables are not as they should be; were they dropped or migrated meanwhile?",
    ),
    "53100": (StorageFull, "the server's disk is full; free some space and go on"),
    "53200": (StorageError, "the server has no memory left"),
    "53300": (
        StorageBusy,
        "the server has no connection left; raise max_connections or use a pooler",
    ),
    "54": (
        StorageError,
        (
            "a value is larger than PostgreSQL can hold; an id or a key, with its source, may have"
            " 2,700 bytes"
        ),
    ),
    "55P03": (
        StorageBusy,
        "another transaction held a lock too long; find it in pg_stat_activity",
    ),
    "57014": (StorageBusy, "the server gave up on a statement (statement_timeout?)"),
    "57P": (StorageUnreachable, _GONE),
    "58": (
        StorageError,
        "the server's disk did not do what it was asked; see the server's log",
    ),
    "XX001": (StorageCorrupt, "the server found damage; see its log, and restore a backup"),
    "XX002": (StorageCorrupt, "the server found a damaged index; see its log, and REINDEX"),
    "XX": (StorageError, "the server failed in itself; see its log"),
}


def code_of(error: BaseException) -> str:
    """Give the five letters of SQLSTATE, or "". *Pure.*"""
    return getattr(error, "sqlstate", None) or ""


def is_lost(error: BaseException) -> bool:
    """Say whether the connection is of no use any more. *Pure.*

    Nor is one that only reads: a new one may lead to who may write.
    """
    code = code_of(error)
    if code:
        is_last_word = isinstance(
            error, psycopg.Error
        ) and error.diag.severity_nonlocalized in (
            "FATAL",
            "PANIC",
        )
        return is_last_word or code.startswith(("08", "57P", "25006"))
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def is_about_the_row(error: BaseException) -> bool:
    """Say whether the values were at fault, and the transaction goes on. *Pure.*

    So it is with a row that somebody else keeps locked: those beside it are not to wait again.
    """
    return (
        code_of(error)[:2] in ("22", "23", "54")
        or code_of(error) == "55P03"
        or (isinstance(error, psycopg.DataError) and not code_of(error))
    )


def leaves_doubt(error: BaseException) -> bool:
    """Say whether the server may have committed although no answer came. *Pure.*"""
    return is_lost(error)


def is_passing(error: BaseException) -> bool:
    """Say whether the transaction may go through if done again: deadlocks, locks. *Pure.*"""
    return code_of(error) in ("40001", "40P01", "55P03")


def translate(error: BaseException, place: str) -> LogError:
    """Give our error for the driver's: what is wrong, where, and what to do next. *Pure.*"""
    code = code_of(error)
    found = next((_MEANING[k] for k in (code, code[:3], code[:2]) if k in _MEANING), None)
    if found is None:
        found = (StorageUnreachable, _GONE) if is_lost(error) else (StorageError, "it refused")
    kind, advice = found
    told = " ".join(str(error).split())
    return kind(f"{place}: {advice} ({code + ': ' if code else ''}{told})")
