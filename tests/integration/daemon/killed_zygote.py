"""A worker whose zygote is killed before it is ready: `python -m tests.integration.daemon.killed_zygote run`."""

from sentinel_worker import cli
from sentinel_worker.media import zygote_process

if __name__ == "__main__":
    vars(zygote_process)["_BOOT"] = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    cli.main()
