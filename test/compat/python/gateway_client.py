"""etcd3gw, OpenStack's client of the JSON gateway, against a cluster whose leader is killed."""

import sys
import threading
from urllib.parse import urlsplit

import etcd3gw
from asking import ask, ok, until


def connect(url: str):
    address = urlsplit(url)
    return etcd3gw.client(host=address.hostname, port=address.port, timeout=20)


def keys(etcd) -> None:
    assert etcd.put("gw/a", "1")
    assert etcd.get("gw/a") == [b"1"]
    assert etcd.create("gw/b", "2") and not etcd.create("gw/b", "3")
    assert etcd.replace("gw/b", "2", "4") and not etcd.replace("gw/b", "2", "5")
    found = [(row["key"], value) for value, row in etcd.get_prefix("gw/", sort_order="descend", sort_target="key")]
    assert found == [(b"gw/b", b"4"), (b"gw/a", b"1")], found
    value, row = etcd.get("gw/b", metadata=True)[0]
    assert value == b"4" and row["version"] == "2", row
    assert etcd.delete("gw/a") and not etcd.delete("gw/a")
    assert etcd.delete_prefix("gw/") and etcd.get("gw/b") == []
    ok("keys: put, get, create, replace, prefix, delete")


def leases(etcd) -> None:
    lease = etcd.lease(60)
    etcd.put("lease/a", "x", lease=lease)
    assert lease.keys() == [b"lease/a"]
    assert 0 < lease.ttl() <= 60 and lease.refresh() == 60
    assert lease.revoke() and etcd.get("lease/a") == []
    ok("leases: grant, keys, ttl, keepalive, revoke")


def locks(etcd) -> None:
    one, other = etcd.lock("job", ttl=30), etcd.lock("job", ttl=30)
    assert one.acquire() and one.is_acquired()
    assert not other.acquire()
    assert one.refresh() == 30
    assert one.release() and other.acquire() and other.release()
    ok("locks: acquire, refused, refresh, release")


def watches(etcd, others) -> None:
    """A watch at a member that is not killed goes on through the election."""
    events, cancel = etcd.watch_prefix("watch/")
    seen: list[tuple[int, bytes]] = []

    def follow() -> None:
        for event in events:
            seen.append((int(event["kv"]["mod_revision"]), event["kv"]["key"]))

    threading.Thread(target=follow, daemon=True).start()
    etcd.put("watch/0", "x")
    until("the watch begins", lambda: len(seen) > 0 or not etcd.put("watch/0", "x"))
    ask("KILL")
    for at in range(20):
        until("a write is taken", lambda: any(attempt(client, f"watch/{at}") for client in others))
    until("the watch sees all", lambda: {b"watch/%d" % at for at in range(20)} <= {key for _, key in seen})
    cancel()
    revisions = [revision for revision, _ in seen]
    assert revisions == sorted(set(revisions)), revisions
    ok("watch: in order and without repetition, across the death of the leader")


def attempt(client, key: str) -> bool:
    try:
        return bool(client.put(key, "x"))
    except Exception:  # noqa: BLE001 - another member is asked
        return False


def follower(urls: list[str]):
    """A client of a member that does not lead."""
    for url in urls:
        etcd = connect(url)
        status = etcd.status()
        if status["leader"] != status["header"]["member_id"]:
            return etcd
    raise AssertionError("every member leads")


if __name__ == "__main__":
    members = sys.argv[1:]
    ask("HEALTHY")
    client = connect(members[0])
    keys(client)
    leases(client)
    locks(client)
    watches(follower(members), [connect(member) for member in members])
