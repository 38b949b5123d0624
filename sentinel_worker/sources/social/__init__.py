"""Posts of social media, fetched by yt-dlp in a separate process.

`fetcher`, `child_process`, `bounded_scan` and `sentences` run in the worker. `child_main`, `download`, `formats` and
`reasons` run in the process, whose only network access is the worker's forward proxy. `catalogue` and `instructions`
run in both.
"""
