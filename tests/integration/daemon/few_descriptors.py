"""A worker that may open only a few files: `python -m tests.integration.daemon.few_descriptors run`."""

import resource

from sentinel_worker import cli

FEW = 8

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    cli.main()
