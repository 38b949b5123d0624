"""Still pictures and animations, read as browsers show them: upright, on white, RGB, 8 bit.

Runs in a decoding child. `opening` is the way in; there is one module for each format whose structure decides what is
shown. May import the other modules of `media`, except those that open files of any kind.
"""
