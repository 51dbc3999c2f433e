"""A Docker engine: the one that runs, or one of our own, with a folder of its own."""

import os
import shutil
import subprocess
from pathlib import Path

from shell import Failed, run, until, works


class Engine:
    """`docker` and `docker compose`, as one engine answers them."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = dict(os.environ)
        self.daemon = None
        self.client = client_that_builds()
        whole = works(self.client, "compose", "version")
        self.composer = [self.client, "compose"] if whole else ["docker-compose"]

    def start(self):
        """Takes the engine that answers; without one, starts one that ends with `stop`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if works(self.client, "info"):
            print("the Docker engine that runs here is used")
            return
        socket = f"unix://{self.folder}/docker.sock"
        self.environment["DOCKER_HOST"] = socket
        if works(self.client, "info", environment=self.environment):
            print("the Docker engine that --keep has left is used")
            return
        # Without rules of its own for the firewall: containers reach each other, and published ports are relayed.
        command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--host", socket]
        command += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        command += [f"--pidfile={self.folder}/docker.pid"]
        with open(self.folder / "dockerd.log", "w") as log:
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(f"the Docker engine answers (see {log.name})", lambda: self.docker("info"), 60)

    def stop(self):
        """Ends the engine, if it was started here."""
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(60)

    def keep(self):
        """Says how to use what is left, and how to end it."""
        if self.daemon:
            print(f"DOCKER_HOST={self.environment['DOCKER_HOST']} is left running; kill {self.daemon.pid} ends it")

    def docker(self, *arguments, **options):
        return run(self.client, *arguments, environment=self.environment, **options)

    def compose(self, *arguments, **options):
        return run(*self.composer, *arguments, environment=self.environment, **options)


def client_that_builds():
    """The first `docker` on the path that has BuildKit: a plugin since version 23, and built in before."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        client = shutil.which("docker", path=folder)
        if not client:
            continue
        version = run(client, "--version").split("version ")[-1]
        if int(version.split(".")[0]) < 23 or works(client, "buildx", "version"):
            return client
    raise Failed("no docker that can build with BuildKit is on the path")
