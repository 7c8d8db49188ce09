"""Ctrl-C in the middle of a commit on PostgreSQL."""

import contextlib

import pytest

from eventstore import NEW, Append, Write, open_log
from eventstore.batch import Entry, Job
from eventstore.testing.facts import birth, fact

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("is_cut", [True, False])
def test_what_shared_an_interrupted_commit_is_done_only_if_that_is_known(
    postgres_log_url, monkeypatch, is_cut
):
    """The driver gives a connection up at the second Ctrl-C: then nothing is known to be there."""
    with contextlib.closing(open_log(postgres_log_url)) as log:
        birth(log, "s")
        database, commit = log.database, log.database.commit

        def interrupted(session, size):
            if is_cut:
                session.raw.close()
            else:
                session.run("COMMIT")
            raise KeyboardInterrupt

        entry = Entry(Append("a", (Write("new", "run", NEW, (fact(),)),)))
        with monkeypatch.context() as patch:
            patch.setattr(database, "commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                log._writer._try([entry, Job(lambda _: None)], careful=False)
        assert database.commit == commit
        assert entry.done is (log.head("new") is not None) is not is_cut
        birth(log, "later")
