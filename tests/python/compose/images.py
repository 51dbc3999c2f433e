"""The images: what the compose files and the Dockerfile start from, and what the Dockerfile makes of it.

An image that cannot be pulled gets a stand-in under its name, made of this machine's packages. An image that the engine
has, from a registry or from an earlier run, is taken as it is.
"""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from shell import Failed, run

ROOT = Path(__file__).resolve().parents[3]
STANDINS = Path(__file__).parent / "standins"
DEBIAN = "debian:bookworm-slim"
RUST = "rust:1.95-slim-bookworm"
REDIS = "redis:7.4-alpine"
MONGO = "mongo:8.0"
LANEWAY = "laneway:local"
# The version that the stack's own tests have (tests/servers/src/venv.rs).
MONGO_PACKAGE = re.search(r'"(SecantusDB==\S+)"', (ROOT / "tests/servers/src/venv.rs").read_text()).group(1)
# What Debian's own slim image leaves out, more or less, and what it keeps apt from leaving behind.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
APT = ['Dir::Cache::pkgcache "";', 'Dir::Cache::srcpkgcache "";', 'Acquire::Languages "none";']
CLEAN = "rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/* $1/var/log/*"
# How large the image may be: what comes on top of its base.
MOST = 40 * 1000 * 1000


def make(engine):
    """Makes every image that the compose files name; `check_size` says how large ours is."""
    for name, stand_in in BASES.items():
        if outdated(engine, name, stand_in) or not there(engine, name) and not pulled(engine, name):
            stand_in(engine, name)
        print(f"image {name}: {'a stand-in' if label(engine, name) else 'from a registry'}", flush=True)
    text = (ROOT / "Dockerfile").read_text()
    if any(label(engine, name) for name in (DEBIAN, RUST)):
        # Its first line names a reader of Dockerfiles that would have to be pulled; the engine has one built in.
        text = text.split("\n", 1)[1]
    for target, tag in (("laneway", LANEWAY), ("tools", "laneway-tools:local")):
        print(f"building {tag} (the first time, that takes as long as a build with cargo)", flush=True)
        build(engine, tag, ROOT, text, "--target", target)


def there(engine, name):
    return bool(engine.docker("images", "--quiet", name).strip())


def label(engine, name):
    """Which stand-in it is; nothing of a real image."""
    form = '{{index .Config.Labels "laneway.stand-in"}}'
    return engine.docker("image", "inspect", "--format", form, name).strip()


def outdated(engine, name, stand_in):
    """Whether it is a stand-in of an earlier form of these files."""
    return there(engine, name) and label(engine, name) not in ("", getattr(stand_in, "version", "debian"))


def pulled(engine, name):
    try:
        engine.docker("pull", "--quiet", name, seconds=600)
    except Failed:
        print(f"image {name} cannot be pulled: its stand-in is made", flush=True)
        return False
    return True


def build(engine, tag, context, text, *options):
    """Builds with the machine's network: the engine may have no way out for containers."""
    environment = {**engine.environment, "DOCKER_BUILDKIT": "1"}
    command = [engine.client, "build", "--network=host", "--tag", tag, "--file", "-", *options, context]
    run(*command, given=text, seconds=3600, environment=environment)


def debian(engine, name):
    """The packages that every Debian has, from the sources of this machine."""
    if os.geteuid() != 0:
        raise Failed("stand-ins can only be made by root, on Debian")
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/root.tar"
        options = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
        options += [f"--aptopt={option}" for option in APT] + [f"--customize-hook={CLEAN}"]
        options.append("--aptopt=DPkg::Post-Invoke {\"rm -f /var/cache/apt/archives/*.deb\";};")
        run("mmdebstrap", "--variant=minbase", *options, "bookworm", archive, *sources(), seconds=1200)
        changes = ["--change", "LABEL laneway.stand-in=debian", "--change", 'CMD ["bash"]']
        engine.docker("import", *changes, archive, name, seconds=300)


def sources():
    """Where this machine gets Debian 12 itself from: not what else it has sources of."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    of_debian = re.compile(r"^(?:Suites:|deb\s.*?)\s*bookworm\s", re.MULTILINE)
    return [file for file in files if file.is_file() and of_debian.search(file.read_text())]


class StandIn:
    """A stand-in that a Dockerfile makes of files beside it, and of what `fill` puts into a folder."""

    def __init__(self, dockerfile, *files, fill=lambda folder: None):
        self.dockerfile, self.files, self.fill = dockerfile, files, fill
        parts = [(STANDINS / name).read_bytes() for name in (dockerfile, *files)]
        self.version = hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]

    def __call__(self, engine, name):
        with tempfile.TemporaryDirectory(dir=engine.folder) as folder:
            for file in self.files:
                shutil.copy(STANDINS / file, folder)
            self.fill(Path(folder))
            text = (STANDINS / self.dockerfile).read_text()
            build(engine, name, folder, text, "--label", f"laneway.stand-in={self.version}")


def fill_mongo(folder):
    # For Debian 12's Python, whichever runs this.
    options = ["--quiet", "--pre", "--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    install = ["python3", "-m", "pip", "install", "--target", folder / "packages", *options, MONGO_PACKAGE]
    run(*install, seconds=900)


def fill_rust(folder):
    toolchain = Path(run("rustc", "--print", "sysroot", environment={**os.environ, "PWD": str(ROOT)}).strip())
    shutil.copytree(toolchain, folder / "toolchain", symlinks=True, ignore=shutil.ignore_patterns("doc", "man"))
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    (folder / "cargo").mkdir()
    for name in ("config.toml", "config"):
        if (cargo / name).is_file():
            shutil.copy(cargo / name, folder / "cargo")
    certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(certificates, folder / "certificates.crt")


BASES = {
    DEBIAN: debian,
    RUST: StandIn("rust.Dockerfile", fill=fill_rust),
    REDIS: StandIn("redis.Dockerfile", "redis-server"),
    MONGO: StandIn("mongo.Dockerfile", "mongod", "mongosh", fill=fill_mongo),
}


def check_size(engine):
    """Prints how large the image is, and fails if what Laneway adds to its base is too much."""
    whole, base = (int(engine.docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (LANEWAY, DEBIAN))
    own = in_mb(whole - base)
    packed = in_mb(compressed(engine, LANEWAY))
    print(f"image laneway: {in_mb(whole)}, of which {own} on top of {DEBIAN}; {packed} compressed", flush=True)
    if whole - base > MOST:
        raise Failed(f"the image adds {own} to its base; it may add {in_mb(MOST)}")


def in_mb(size):
    return f"{size / 1_000_000:.1f} MB"


def compressed(engine, name):
    """How much a registry would hold, and a pull would transfer."""
    with tempfile.TemporaryDirectory(dir=engine.folder) as folder:
        archive = Path(folder, "image.tar")
        engine.docker("save", "--output", archive, name, seconds=300)
        return len(gzip.compress(archive.read_bytes(), 6))
