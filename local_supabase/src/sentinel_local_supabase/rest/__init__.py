"""Tables and functions over HTTP, as PostgREST serves them."""
