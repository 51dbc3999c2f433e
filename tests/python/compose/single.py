"""What docker-compose.yml has to stand: one Redis."""

from shell import until


def workers_scaled(stack, load, cuts):
    """Five workers, and two again."""
    stack.up("--no-recreate", "--scale", "worker=5")
    stack.shared_by(5)
    load.more()
    stack.up("--no-recreate", "--scale", "worker=2")
    stack.shared_by(2)


def worker_killed(stack, load, cuts):
    """The other one takes its partitions over, and gives half of them back when it is started again."""
    worker = stack.one("worker")
    stack.kill(worker)
    stack.shared_by(1)
    load.more()
    stack.start(worker)
    stack.shared_by(2)


def ingest_killed(stack, load, cuts):
    """Docker starts it again, and producers repeat what had no answer."""
    ingest = stack.one("ingest")
    before = stack.inspect(ingest)["RestartCount"]
    stack.crash(ingest)
    load.until_refused()
    until("Docker starts the ingest again", lambda: stack.inspect(ingest)["RestartCount"] > before)


def redis_killed(stack, load, cuts):
    """503 while it is away, and nobody ends because of it."""
    redis, before = stack.one("redis"), ended(stack)
    stack.kill(redis)
    until("producers get 503", lambda: load.refused.get(503))
    load.goes_on_for(10)
    stack.start(redis)
    load.every_key()
    nobody_ended(stack, before)


def receiver_killed(stack, load, cuts):
    """Events wait for it."""
    receiver = stack.one("receiver")
    stack.kill(receiver)
    load.more()
    stack.start(receiver)


def receiver_moved(stack, load, cuts):
    """It comes back with another address: somebody else has its own."""
    receiver = stack.one("receiver")
    address = stack.address(receiver)
    stack.kill(receiver)
    with stack.squatter():
        stack.start(receiver)
        if stack.address(receiver) == address:
            raise AssertionError("the receiver has its old address")
        load.more()
        load.all_arrive()


def mongo_killed(stack, load, cuts):
    """The other destination does not notice."""
    mongo = stack.one("mongo")
    stack.kill(mongo)
    load.more()
    load.all_arrive()
    stack.start(mongo)


def everything_killed(stack, load, cuts):
    """As if the machine had lost its power: Docker starts all of it again, in any order."""
    stack.crash(*stack.running())
    load.every_key()


def started_before_redis(stack, load, cuts):
    """Ingest and workers start while there is no Redis, and wait for it."""
    redis, others = stack.one("redis"), stack.containers("ingest") + stack.containers("worker")
    for container in (redis, *others):
        stack.kill(container)
    stack.start(*others)
    before = ended(stack)
    load.goes_on_for(10)
    stack.start(redis)
    load.every_key()
    nobody_ended(stack, before)


def ended(stack):
    return stack.restarts("ingest") + stack.restarts("worker")


def nobody_ended(stack, before):
    if ended(stack) != before:
        raise AssertionError("an ingest or a worker ended, where it should have waited")


ALL = [
    workers_scaled,
    worker_killed,
    ingest_killed,
    redis_killed,
    receiver_killed,
    receiver_moved,
    mongo_killed,
    everything_killed,
    started_before_redis,
]
