"""The error that starting, stopping and breaking a local Supabase raises on purpose."""


class LocalSupabaseError(Exception):
    """The local Supabase cannot do what it was asked for, and will not until somebody changes something.

    `code` is stable and machine-readable, such as `port_in_use`; `message` is a sentence for people, or several, one a
    line.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
