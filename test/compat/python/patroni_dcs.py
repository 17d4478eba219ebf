"""Patroni's own DCS class, as two nodes of a PostgreSQL cluster use it, against a cluster whose leader is killed."""

import logging
import sys
import threading
from urllib.parse import urlsplit

from asking import ask, ok, until
from patroni.dcs import get_dcs

TTL = 30


def node(name: str, urls: list[str]):
    hosts = [urlsplit(url).netloc for url in urls]
    return get_dcs({"scope": "demo", "name": name, "namespace": "/service", "ttl": TTL, "loop_wait": 10,
                    "retry_timeout": 10, "etcd3": {"hosts": hosts}})


def initialise(one, other) -> None:
    assert one.get_cluster().leader is None
    assert one.initialize(create_new=True, sysid="7") and not other.initialize(create_new=True, sysid="8")
    for dcs in (one, other):
        assert dcs.touch_member({"conn_url": "postgres://127.0.0.1/", "state": "running"})
    until("both members are seen", lambda: len(other.get_cluster().members) == 2)
    assert other.get_cluster().initialize == "7"
    ok("initialize once, members with a lease")


def acquire(one, other) -> None:
    assert one.attempt_to_acquire_leader() and not other.attempt_to_acquire_leader()
    until("the other sees the leader", lambda: other.get_cluster().leader.name == "one")
    assert one.update_leader(one.get_cluster(), 4711)
    until("the position is seen", lambda: other.get_cluster().status.last_lsn == 4711)
    ok("leader key: acquired by one, refused to the other, kept alive")


def configure(one) -> None:
    assert one.set_config_value("{}")
    version = one.get_cluster().config.version
    assert one.set_config_value('{"ttl":30}', version) and not one.set_config_value('{"ttl":31}', version)
    until("the configuration is seen", lambda: one.get_cluster().config.data == {"ttl": 30})
    revision = one.set_sync_state_value('{"leader":"one"}')
    assert int(revision) > int(version) and one.delete_sync_state(version=str(revision))
    ok("compare and swap of configuration and synchronous state")


def survive(one, other) -> None:
    """The leader of the store dies; the leader of PostgreSQL stays."""
    ask("KILL")
    until("the leader is kept", lambda: one.update_leader(one.get_cluster(), 4712))
    until("the other sees it", lambda: other.get_cluster().status.last_lsn == 4712)
    assert other.get_cluster().leader.name == "one" and not other.attempt_to_acquire_leader()
    ok("leader key: kept across the death of the store's leader")


def fail_over(one, other) -> None:
    """The other is woken by its watch when the leader gives up, and takes over."""
    other.event.clear()
    woken = []
    watching = threading.Thread(target=lambda: woken.append(other.watch(other.get_cluster().leader.version, 50)))
    watching.start()
    until("the leader gives up", lambda: one.delete_leader(one.get_cluster().leader))
    watching.join()
    assert woken == [True], "the watch did not tell that the leader is gone"
    until("the other takes over", other.attempt_to_acquire_leader)
    until("that is seen", lambda: one.get_cluster().leader.name == "other")
    assert not one.update_leader(one.get_cluster(), 4713) or one.get_cluster().leader.name == "other"
    ok("failover: the watch wakes the other, which takes the key")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    members = sys.argv[1:]
    ask("HEALTHY")
    first, second = node("one", members), node("other", members)
    initialise(first, second)
    acquire(first, second)
    configure(first)
    survive(first, second)
    fail_over(first, second)
    assert first.delete_cluster()
    ok("cluster deleted")
