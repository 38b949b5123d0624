"""Modules that take seconds to import, for test modules: every process of a run imports all of those, to collect.

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
    """Stands for a module, and imports it when something of it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name == "_mock_name":  # pytest looks at all that a test module holds
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


def lazy(name: str) -> Any:
    """The module of this name, imported at its first use."""
    return _Lazy(name)
