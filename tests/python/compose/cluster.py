"""What docker-compose.cluster.yml has to stand: a Redis Cluster of six nodes, and cuts between any two."""

from cuts import BACK, BOTH, THERE
from shell import Failed, until
from single import ended, nobody_ended

NODES = [f"node-{number}" for number in range(1, 7)]
# How long a cut lasts: longer than the nodes (2 s) and the workers (7 s) need to notice.
CUT = 10


class Nodes:
    """The nodes of the Cluster, by what they are now."""

    def __init__(self, stack):
        self.stack = stack

    def cli(self, container, *command):
        return self.stack.inside(container, "redis-cli", *command)

    def containers(self):
        return [self.stack.one(name) for name in NODES]

    def is_primary(self, container):
        return self.cli(container, "role").startswith("master")

    def busiest(self):
        """The primary with the most keys, and its replica."""
        primaries = [container for container in self.containers() if self.is_primary(container)]
        primary = max(primaries, key=lambda container: int(self.cli(container, "dbsize")))
        return primary, self.replica_of(primary)

    def name(self, container):
        return self.cli(container, "cluster", "myid").strip()

    def replica_of(self, primary):
        listed = self.cli(primary, "cluster", "replicas", self.name(primary))
        names = {row.split()[0] for row in listed.splitlines() if row}
        found = [container for container in self.containers() if self.name(container) in names]
        if len(found) != 1:
            raise Failed(f"a primary has {len(found)} replicas")
        return found[0]

    def whole(self, seconds=90):
        """Waits until there are three primaries, each with a replica that follows it, and all nodes agree."""

        def whole():
            for container in self.containers():
                rows = self.cli(container, "cluster", "nodes").splitlines()
                flags = [row.split()[2] for row in rows if row.split()[7] == "connected" or "myself" in row]
                roles = sorted(flag.replace("myself,", "") for flag in flags)
                if roles != ["master"] * 3 + ["slave"] * 3:
                    return False
            replication = [self.cli(container, "info", "replication") for container in self.containers()]
            return all("master_link_status:down" not in said for said in replication)

        until("the Cluster is whole", whole, seconds)


def primary_killed(stack, load, cuts):
    """Its replica takes over; without a replica of its own it takes nothing, until the first one is back."""
    nodes = Nodes(stack)
    primary, replica = nodes.busiest()
    stack.kill(primary)
    until("the replica takes over", lambda: nodes.is_primary(replica))
    until("its partitions answer 503", lambda: load.refused.get(503))
    load.more()  # The other partitions go on.
    stack.start(primary)
    nodes.whole()
    load.every_key()


def primary_cut_off(stack, load, cuts):
    """`docker network disconnect`: it runs, and nobody reaches it. It must not take what its successor does not get."""
    nodes = Nodes(stack)
    primary, replica = nodes.busiest()
    address = stack.address(primary)
    stack.disconnect(primary)
    until("the replica takes over", lambda: nodes.is_primary(replica))
    load.more()
    stack.connect(primary, address)
    nodes.whole()
    load.every_key()


def started_without_a_node(stack, load, cuts):
    """An ingest and a worker start when a primary is gone, and nobody has taken its place yet."""
    nodes, starting = Nodes(stack), [stack.one("ingest"), stack.one("worker")]
    primary, replica = nodes.busiest()
    for container in (*starting, primary):
        stack.kill(container)
    stack.start(*starting)
    before = ended(stack)
    until("the replica takes over", lambda: nodes.is_primary(replica))
    load.more()
    stack.start(primary)
    nodes.whole()
    load.every_key()
    nobody_ended(stack, before)


def cluster_restarted(stack, load, cuts):
    """All nodes end, and start in another order, as after a restart of Docker."""
    nodes = Nodes(stack)
    containers = nodes.containers()
    for container in containers:
        stack.kill(container)
    for container in reversed(containers):
        stack.start(container)
    nodes.whole()
    load.every_key()


def everything_killed(stack, load, cuts):
    """As if the machine had lost its power: Docker starts all of it again, in any order."""
    stack.crash(*stack.running())
    Nodes(stack).whole()
    load.every_key()


def ends(stack):
    """Who may be cut from whom: the first worker, and the primary with the most keys."""
    primary, replica = Nodes(stack).busiest()
    one = {name: stack.one(name) for name in ("ingest", "worker", "receiver")}
    return {**one, "a primary": primary, "its replica": replica}


# Who talks to whom, and who to nobody of these.
TALKING = [
    ("ingest", "a primary"),
    ("worker", "a primary"),
    ("worker", "receiver"),
    ("a primary", "its replica"),
]
SILENT = [("ingest", "worker"), ("ingest", "receiver"), ("a primary", "receiver")]


def cut(one, other, ways):
    def scenario(stack, load, cuts):
        found = ends(stack)
        cuts.cut(found[one], found[other], ways)
        load.goes_on_for(CUT)
        until("the cut drops packets", cuts.dropped)
        cuts.mend()
        Nodes(stack).whole()
        load.every_key()

    signs = {BOTH: "<-/->", THERE: "-/->", BACK: "<-/-"}
    scenario.__name__ = f"{one} {signs[ways]} {other}"
    return scenario


def the_others_cut(stack, load, cuts):
    """Whoever does not talk to each other does not notice that it cannot."""
    found = ends(stack)
    for one, other in SILENT:
        cuts.cut(found[one], found[other])
    load.goes_on_for(CUT)
    load.every_key()
    if cuts.dropped():
        raise AssertionError("the ones that should have nothing to say to each other have talked")
    if load.refused:
        raise AssertionError(f"events were refused: {load.refused}")


ALL = [
    primary_killed,
    primary_cut_off,
    started_without_a_node,
    cluster_restarted,
    everything_killed,
    *(cut(*pair, ways) for pair in TALKING for ways in (BOTH, THERE, BACK)),
    the_others_cut,
]
