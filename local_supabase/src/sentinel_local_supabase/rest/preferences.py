"""Parsing of the `Prefer` header: the preferences that PostgREST knows."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_local_supabase.rest.rest_errors import RestError

_KNOWN_PREFERENCES = {
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
    "timezone": None,
    "max-affected": None,
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """The `Prefer` header: known pairs in the order given, and the rest."""

    known: dict[str, str]
    unknown: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """Return the value of a preference, None if absent."""
        return self.known.get(name)

    def refuse(self, name: str) -> Preferences:
        """Return a copy without a preference whose value is invalid. Raises PGRST122 under `handling=strict`."""
        kept = {other: value for other, value in self.known.items() if other != name}
        return _lenient(Preferences(kept, (*self.unknown, f"{name}={self.known[name]}")))

    def applied(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the Preference-Applied header for those of `names` that were given."""
        pairs = [f"{name}={self.known[name]}" for name in names if name in self.known]
        return {"Preference-Applied": ", ".join(pairs)} if pairs else {}


def read_preferences(headers: list[str]) -> Preferences:
    """Parse a request's `Prefer` headers. Raises PGRST122."""
    known: dict[str, str] = {}
    unknown: list[str] = []
    for item in ",".join(headers).split(","):
        text = item.strip()
        name, _, value = text.partition("=")
        if not text:
            continue
        allowed = _KNOWN_PREFERENCES.get(name, ())
        if allowed is None or value in allowed:
            known.setdefault(name, value)
        else:
            unknown.append(text)
    return _lenient(Preferences(known, tuple(unknown)))


def _lenient(preferences: Preferences) -> Preferences:
    if preferences.get("handling") == "strict" and preferences.unknown:
        details = f"Invalid preferences: {', '.join(preferences.unknown)}"
        raise RestError(400, "PGRST122", "Invalid preferences given with handling=strict", details=details)
    return preferences
