"""HTML reports of an evaluation and of analysed files. Needs the extra `reports`.

Belongs here: pages and their plots, made from finished results. May import `evaluation` and below.
"""
