"""Imports that take seconds, deferred: every process of a test run imports all test modules to collect them.

```python
if TYPE_CHECKING:
    from sentinel_worker.evaluation import fitting
else:
    fitting = lazy("sentinel_worker.evaluation.fitting")
```
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Lazy:
    """Stands for a module, and imports it on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name == "_mock_name":  # pytest inspects everything in a test module
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


def lazy(name: str) -> Any:
    """Return a stand-in for the module of this name, which is imported at its first use."""
    return _Lazy(name)
