"""Posts of social media, fetched by yt-dlp in a process of its own.

`fetcher` and `process` run in the worker, `child`, `download`, `formats` and `reasons` in the process that has no
network but the worker's forward proxy; `catalogue` and `order` in both.
"""
