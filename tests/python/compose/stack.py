"""The stack of a compose file: its containers, by service, and what can be done to them."""

import json
import os
import signal
import urllib.request
from contextlib import contextmanager

from images import REDIS, ROOT
from shell import Failed, run, until

# The compose project, so that nothing of another one is touched.
PROJECT = "laneway-compose-test"
INGEST = "http://127.0.0.1:8080"
TOKEN = "try-it-out-token"
PARTITIONS = 8


class Stack:
    def __init__(self, engine, files):
        self.engine = engine
        self.files = files

    def compose(self, *arguments, seconds=300):
        files = [part for file in self.files for part in ("--file", ROOT / file)]
        command = ["--project-name", PROJECT, *files, *arguments]
        return self.engine.compose("--project-directory", ROOT, *command, seconds=seconds)

    def up(self, *options):
        self.compose("up", "--detach", "--no-build", *options)

    def down(self):
        """Removes containers, networks and volumes of the project, whichever file made them."""
        self.compose("--profile", "verify", "down", "--volumes", "--remove-orphans", "--timeout", "5")

    def verify(self):
        return self.compose("run", "--rm", "verify").strip().splitlines()[-1]

    # One container

    def containers(self, service=None):
        """The ids of a service's containers, or of all, in the order of their numbers."""
        labels = [f"com.docker.compose.project={PROJECT}", "com.docker.compose.oneoff=False"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        form = '{{.Label "com.docker.compose.container-number"}} {{.ID}}'
        rows = self.engine.docker("ps", "--all", "--no-trunc", "--format", form, *filters).splitlines()
        return [row.split()[1] for row in sorted(rows, key=lambda row: int(row.split()[0]))]

    def one(self, service, number=1):
        found = self.containers(service)
        if len(found) < number:
            raise Failed(f"the service {service} has {len(found)} containers")
        return found[number - 1]

    def inspect(self, container):
        return json.loads(self.engine.docker("inspect", container))[0]

    def state(self, container):
        return self.inspect(container)["State"]

    def pid(self, container):
        """Its process, as this machine numbers it; Docker has to run on this machine."""
        pid = self.state(container)["Pid"]
        if pid <= 1:
            raise Failed(f"the container {container[:12]} does not run")
        return pid

    def address(self, container):
        found = self.inspect(container)["NetworkSettings"]["Networks"].get(self.network(), {}).get("IPAddress")
        if not found:
            raise Failed(f"the container {container[:12]} has no address")
        return found

    def network(self):
        return f"{PROJECT}_default"

    def kill(self, container):
        """`docker kill`: it stays away until it is started."""
        self.engine.docker("kill", container)

    def start(self, *containers):
        self.engine.docker("start", *containers)

    def crash(self, *containers):
        """kill -9 past Docker, which then starts it again (`restart: unless-stopped`)."""
        for pid in [self.pid(container) for container in containers]:
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def squatter(self):
        """A container that takes the address that was given up last."""
        command = ["run", "--detach", "--rm", "--network", self.network(), "--label", f"{PROJECT}=yes"]
        squatter = self.engine.docker(*command, "--entrypoint", "sleep", REDIS, "infinity").strip()
        try:
            yield
        finally:
            self.engine.docker("rm", "--force", squatter)

    def disconnect(self, container):
        self.engine.docker("network", "disconnect", self.network(), container)

    def connect(self, container, address):
        """Back into the network, under the name and the address that the others know it by."""
        service = self.inspect(container)["Config"]["Labels"]["com.docker.compose.service"]
        names = ["--alias", service, "--ip", address]
        self.engine.docker("network", "connect", *names, self.network(), container)

    def inside(self, container, *command):
        return self.engine.docker("exec", container, *command)

    def in_network_of(self, container, *command, given=None):
        return run("nsenter", "--net", "--target", self.pid(container), *command, given=given)

    # All of it

    def settled(self, seconds=120):
        """Waits until every container runs, and is healthy where it has a health check."""

        def well(container):
            state = self.state(container)
            done = not state["Running"] and state["ExitCode"] == 0 and state["Status"] == "exited"
            return done or state.get("Health", {}).get("Status", "healthy") == "healthy" and state["Running"]

        until("every container is healthy", lambda: all(map(well, self.containers())), seconds)

    def shares(self):
        """How many partitions each worker has, by the beginning of its container's id."""
        status = self.ask("/v1/status")
        return {share["worker"]: len(share["partitions"]) for share in status.get("workers", [])}

    def shared_by(self, workers, seconds=60):
        """Waits until so many workers have all partitions among them."""

        def shared():
            shares = [count for count in self.shares().values() if count]
            return len(shares) == workers and sum(shares) == PARTITIONS

        until(f"{workers} workers have all partitions", shared, seconds)

    def ask(self, path):
        request = urllib.request.Request(INGEST + path, headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def running(self):
        return [container for container in self.containers() if self.state(container)["Running"]]

    def restarts(self, service):
        return [self.inspect(container)["RestartCount"] for container in self.containers(service)]

    def stored(self, beginning):
        """How many documents of the collection have an id that begins so."""
        counts = f'db.getSiblingDB("laneway").events.countDocuments({{ _id: /^{beginning}/ }})'
        return int(self.inside(self.one("mongo"), "mongosh", "--quiet", "--eval", counts))
