"""Reports: summaries in, text out. Nothing here prints, reads files or looks at a clock."""
