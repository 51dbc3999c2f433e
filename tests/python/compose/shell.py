"""Commands, and waiting for what they bring about."""

import subprocess
import time

# How often a condition is looked at.
GLANCE = 0.2


class Failed(Exception):
    """What did not come about, or which command failed, and how."""


def run(*command, given=None, seconds=120, environment=None, check=True):
    """What a command prints. It may take so many seconds."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, errors="replace", timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} did not end within {seconds} s") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {said[-2000:]}")
    return done.stdout


def works(*command, environment=None):
    """Whether a command is there and ends well."""
    try:
        run(*command, environment=environment)
    except (Failed, OSError):
        return False
    return True


def until(what, condition, seconds=90):
    """Waits until a condition holds, and returns what it returned. An error that it raises means: not yet."""
    deadline = time.monotonic() + seconds
    while True:
        why = ""
        try:
            found = condition()
        except (Failed, OSError, ValueError) as error:
            found, why = None, f" ({error})"
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}{why}")
        time.sleep(GLANCE)
