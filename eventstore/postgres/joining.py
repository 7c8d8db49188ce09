"""A log in PostgreSQL, joined from its parts."""

from eventstore.parts import Parts
from eventstore.postgres.address import address_of, quoted
from eventstore.postgres.barrier import Barrier
from eventstore.postgres.database import Postgres
from eventstore.postgres.ears import Ears, channel_of
from eventstore.postgres.keeper import Keeper
from eventstore.postgres.locks import SessionLocks
from eventstore.postgres.lookout import Lookout
from eventstore.postgres.moment import moment
from eventstore.postgres.room import ServerRoom
from eventstore.sql import SqlLog
from eventstore.store import Counters
from eventstore.writer import Writer


def postgres_log(url: str) -> SqlLog:
    """Give the log at a url of PostgreSQL. Opens nothing.

    Raises:
        StorageUnsuitable: the url cannot be read.
    """
    database = Postgres(address_of(url), Counters())
    lookout = Lookout(database)
    ears = Ears(database, lookout)
    keeper = Keeper(database, quoted(channel_of(database)), ears.heard)
    ears.on_listen, ears.on_forget = keeper.open, keeper.leave
    locks = SessionLocks(database, keeper, lookout)
    log = SqlLog(
        url,
        Parts(
            database=database,
            writer=Writer(database),
            desk=keeper,
            locks=locks,
            hall=ears,
            room=ServerRoom(),
            horizon=Barrier(database).safe,
            changed=lookout.changed,
            moment=lambda: moment(database),
            is_remote=True,
            closing=(keeper.close,),
            forked=(keeper.forked,),
        ),
    )
    keeper.on_back += [locks.take_again, log.come_back]
    return log
