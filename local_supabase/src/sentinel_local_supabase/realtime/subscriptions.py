"""The subscribers to the changes of one table, with equal subscriptions merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel_local_supabase.realtime.bindings import Binding
from sentinel_local_supabase.realtime.connection_tokens import TokenClaims
from sentinel_local_supabase.realtime.pgoutput import Relation


@dataclass(eq=False, slots=True)
class Subscription:
    """Bindings of one channel; `announce(ok, message)` and `deliver(event_json, ids)` never block."""

    wishes: Sequence[dict[str, Any]]
    claims: TokenClaims
    announce: Callable[[bool, str], None]
    deliver: Callable[[str, list[int]], None]
    bindings: tuple[Binding, ...] = field(default=())


class TableSubscriptions:
    """The subscriptions in `live` that match a table; empty if there are none."""

    def __init__(self, live: Iterable[Subscription], relation: Relation) -> None:
        self._members: dict[str, list[tuple[Subscription, int]]] = {}
        for subscription in live:
            for binding in subscription.bindings:
                if binding.matches(relation.schema, relation.table):
                    wish = json.dumps(
                        {
                            "role": subscription.claims.role,
                            "claims": subscription.claims.everything,
                            "event": binding.event,
                            "filters": [f.as_json() for f in binding.filters],
                            "select": binding.select,
                        }
                    )
                    self._members.setdefault(wish, []).append((subscription, binding.id))
        self._lists = list(self._members.values())

    def __bool__(self) -> bool:
        return bool(self._members)

    def as_json(self) -> str:
        """Serialize for `_realtime.apply`; `i` numbers the members."""
        return "[" + ",".join(f'{{"i":{index},{wish[1:]}' for index, wish in enumerate(self._members)) + "]"

    def receivers(self, members: Iterable[int]) -> Iterable[tuple[Subscription, list[int]]]:
        """Yield each subscription behind these members, with the ids of its bindings."""
        ids: dict[Subscription, list[int]] = {}
        for member in members:
            for subscription, binding_id in self._lists[member]:
                ids.setdefault(subscription, []).append(binding_id)
        return ids.items()
