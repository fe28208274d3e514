"""The store's program under the control of a scenario: killed, stopped and started again."""

import os
import random
import signal
import socket
import subprocess


class Program:
    """One data folder and one port through many lives; it dies with the scenario's process."""

    def __init__(self, folder, *arguments, environment=None):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._command = ["setpriv", "--pdeathsig", "KILL", os.environ["STORE_PROGRAM"]]
        self._command += ["--listen", self.address, "--data", str(folder), *map(str, arguments)]
        self._environment = {**os.environ, **(environment or {})}
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, env=self._environment, text=True
        )
        ready = self._process.stdout.readline()
        assert ready.rstrip().endswith(f":{self.port}"), f"it did not start: {ready!r}"

    def kill(self):
        """Ends it in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self):
        """Asks it to end, and waits until it has."""
        self._end(signal.SIGTERM)

    def freeze(self):
        """Lets it answer nothing more, and take in nothing, until it is thawed."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Lets it go on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how):
        self._process.send_signal(how)
        self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def free_port():
    """A free port that the system gives to nobody who connects: with one that it does give, a
    client that tries and tries while nobody listens would in the end be connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as given:
        least = int(given.read().split()[0])
    while True:
        port = random.randrange(least // 2, least)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
