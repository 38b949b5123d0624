"""HTML reports of an evaluation and of analysed files. Needs the extra `reports`."""
