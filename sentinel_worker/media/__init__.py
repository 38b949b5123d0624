"""Untrusted media: what a file is, which parts are decoded, and the child processes that do it.

`*_main` modules run in the zygote or in a decoding child; `zygote`, `child_client` and what they import run in the
worker. A confined child cannot import anything later, so a test checks its imports. May import `concurrency`, `config`
and below; no torch except through torchcodec.
"""
